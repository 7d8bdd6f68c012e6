"""Runs a role and restarts it when a file of its code changes; the entry point of the `dev` image.

Tilt copies changed files into the running container. It must never be in the product's image.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

LOOK = 0.25
"""Seconds between two looks at the files."""
BOUND = 10
"""Seconds a role has to end before it is killed: in development a quick restart is worth more than a drain."""


def newest(folder: Path) -> tuple[int, int]:
    """How many files of code there are, and when the last one changed."""
    times = [file.stat().st_mtime_ns for file in folder.rglob("*.py") if file.exists()]
    return len(times), max(times, default=0)


def main() -> int:
    """Run `python -m orderfleet ARGUMENTS…` until SIGTERM; the first argument is the folder that is watched."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while True:
        seen = newest(folder)
        role = subprocess.Popen([sys.executable, "-m", "orderfleet", *arguments])  # noqa: S603 - the pod's own arguments
        while not stopping and newest(folder) == seen:
            if role.poll() == 0:  # a job that is done
                return 0
            # A role that ended by a mistake in its code waits here for the next change.
            time.sleep(LOOK)
        role.terminate()
        try:
            role.wait(timeout=None if stopping else BOUND)
        except subprocess.TimeoutExpired:
            role.kill()
            role.wait()
        if stopping:
            return role.returncode
        sys.stderr.write(f"reload: the code changed, starting {' '.join(arguments)} again\n")


if __name__ == "__main__":
    sys.exit(main())
