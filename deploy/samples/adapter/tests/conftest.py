"""Loads the conformance suite of Orderfleet."""

pytest_plugins = ["orderfleet.providers.conformance.pytest_plugin"]
