"""Stacks in folders of their own, with the real backing parts and pretended roles."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet_local.stack import processes
from orderfleet_local.stack.roles import HEALTH_PORT, Role

_HERE = Path(__file__).parent


def role(mood: str = "well", *needs: str) -> Role:
    """A pretended role, named for its mood."""
    script = str(_HERE / "pretend_role.py")
    return Role(mood, (sys.executable, script, mood), needs or ("postgres", "temporal"), {HEALTH_PORT: 0})


@contextmanager
def stack_folder() -> Iterator[Path]:
    """A folder for one stack; whatever still runs of it is killed at the end."""
    # Not below pytest's own folder: Postgres runs under another account when we are root.
    folder = Path(tempfile.mkdtemp(prefix="orderfleet-stack-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for found in processes.find(folder).values():
            processes.end(found, by=signal.SIGKILL, timeout=5)
        shutil.rmtree(folder, ignore_errors=True)


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't come true"
        time.sleep(0.01)
