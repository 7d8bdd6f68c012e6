"""The commands that `orderfleet` has only where the development tools are installed."""
