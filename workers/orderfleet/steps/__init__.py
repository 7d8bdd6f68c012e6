"""How a step is run, on both sides: the workflow's (policy, outages) and the activity's (failed attempts)."""
