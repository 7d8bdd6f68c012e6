"""`python -m orderfleet`: the command line, for where the `orderfleet` program is not on PATH."""

import os
import signal
import sys

if os.getpid() == 1:
    # The first process of a container is not ended by a signal without a handler, and a role
    # handles SIGTERM only once it runs.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))

from orderfleet.cli.main import main

main()
