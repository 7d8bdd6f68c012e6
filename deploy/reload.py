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

POLL_INTERVAL = 0.25
"""Seconds between two checks of the files."""
STOP_TIMEOUT = 10
"""Seconds before a role is killed. In development a quick restart matters more than a drain."""


def newest(folder: Path) -> tuple[int, int]:
    """Number of code files, and time of their last change."""
    times = [file.stat().st_mtime_ns for file in folder.rglob("*.py") if file.exists()]
    return len(times), max(times, default=0)


def main() -> int:
    """Run `python -m orderfleet ARGUMENTS…` until SIGTERM; the first argument is the folder of the code."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while True:
        started_with = newest(folder)
        role = subprocess.Popen([sys.executable, "-m", "orderfleet", *arguments])  # noqa: S603 - the pod's own arguments
        while not stopping and newest(folder) == started_with:
            if role.poll() == 0:  # A job has completed.
                return 0
            # After an error in its code, wait for the next change.
            time.sleep(POLL_INTERVAL)
        role.terminate()
        try:
            role.wait(timeout=None if stopping else STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            role.kill()
            role.wait()
        if stopping:
            return role.returncode
        sys.stderr.write(f"reload: the code changed, starting {' '.join(arguments)} again\n")


if __name__ == "__main__":
    sys.exit(main())
