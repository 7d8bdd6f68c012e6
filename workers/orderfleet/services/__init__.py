"""Starts, changes and reads orders. Nothing else accesses order workflows; every call is idempotent."""
