"""A process that forks workers with all modules imported, so that a killed worker is replaced at once.

It reads one JSON line per worker from standard input, and prints the worker's process id. Nothing here may start a
thread or Temporal's runtime before the fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from orderfleet.observability import logs
from orderfleet.orders import worker as orders
from orderfleet.process import run_role
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping

ROLES = {"orders": orders.run, "shipping": shipping.run}


def work(kind: str, environment: dict[str, str], log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(environment)
    settings = Settings()
    logs.configure(settings, kind)
    run_role(lambda stop: ROLES[kind](settings, stop))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed workers are not waited for
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                work(**wanted)
            finally:
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
