"""`orderfleet order`: start, see and change orders from a terminal. `command` lists the verbs."""
