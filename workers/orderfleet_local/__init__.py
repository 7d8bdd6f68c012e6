"""Development tools: the local stack, the programs it runs, and the demos. In no wheel and no image."""
