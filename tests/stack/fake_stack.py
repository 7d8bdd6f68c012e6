"""Stacks in temporary folders, with the real backing parts and fake roles."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet_local.stack import processes
from orderfleet_local.stack.roles import HEALTH_PORT, Role

_HERE = Path(__file__).parent


def role(mode: str = "well", *needs: str) -> Role:
    """Return a fake role with the name of its mode.

    Args:
        mode: see `fake_role`.
        *needs: parts to start before it; by default Postgres and Temporal.
    """
    script = str(_HERE / "fake_role.py")
    return Role(mode, (sys.executable, script, mode), needs or ("postgres", "temporal"), {HEALTH_PORT: 0})


@contextmanager
def stack_folder() -> Iterator[Path]:
    """Yield a folder for one stack; processes that still run at the end are killed."""
    # Not in pytest's folder: as root, Postgres runs under another account, which can't enter it.
    folder = Path(tempfile.mkdtemp(prefix="orderfleet-stack-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for found in processes.find(folder).values():
            processes.end(found, by=signal.SIGKILL, timeout=5)
        shutil.rmtree(folder, ignore_errors=True)
