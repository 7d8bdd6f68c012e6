"""Temporal: connection, workers, data converter and encryption, interceptors, and how a step is run."""
