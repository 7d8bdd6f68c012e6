"""The commands of `orderfleet` that need the development tools: `stack` and `env`."""
