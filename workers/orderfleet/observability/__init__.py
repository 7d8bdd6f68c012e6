"""Metrics, traces, logs and health of every process."""
