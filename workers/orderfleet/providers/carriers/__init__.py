"""Carriers: over HTTP, and simulated."""
