"""`python -m orderfleet`: the command line, for where the `orderfleet` program is not on PATH."""

from orderfleet.cli.main import main

main()
