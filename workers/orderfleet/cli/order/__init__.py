"""`orderfleet order`: start, inspect and change orders. `command` lists the subcommands."""
