"""The conformance suite of payment adapters: the guarantees of `deploy/docs/providers.md`, as cases against a provider.

`orderfleet conformance payments` runs it, and so do the tests of a package, by `pytest_plugin`. Only that module may
import pytest, which is no part of an installation.
"""
