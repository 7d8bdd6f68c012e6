"""Provides the programs that the local stack and the tests run: kubectl, Temporal and others.

`python3 -m orderfleet_local.provision` runs it from the command line, `ladder.provide` from the
stack. It runs before the virtual environment exists: it must never import anything outside the
standard library.
"""
