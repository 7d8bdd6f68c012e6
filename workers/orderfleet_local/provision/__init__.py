"""Provides the programs that the local stack and the tests run: kubectl, Temporal and others.

It runs before the virtual environment exists, so it must never import anything outside the standard library.
"""
