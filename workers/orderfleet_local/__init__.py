"""Development tools: the local stack, the programs that it runs, and the demos. No wheel and no image has them."""
