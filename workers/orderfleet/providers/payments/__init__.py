"""Payment providers: over HTTP, and simulated."""
