"""The codec server: opens encrypted payloads for the Web UI and command line of Temporal, for callers that may."""
