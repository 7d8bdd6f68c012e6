"""Calls over HTTP to what the user runs: the payment provider and the carrier."""
