"""`orderfleet order`: start, inspect and change orders from a terminal. `command` lists the verbs."""
