"""A stack folder for one test; processes that still run at the end are killed."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet_local.stack import paths, processes

CHECKOUT = paths.checkout()
BIN = CHECKOUT / ".venv" / "bin"


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


@contextmanager
def stack_environment() -> Iterator[dict[str, str]]:
    """Yield the environment of a shell without settings, with a stack folder of its own."""
    foreign = ("ORDERFLEET_", "TEMPORAL_", "KUBECONFIG", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    cache = {paths.CACHE_VARIABLE: str(paths.cache_dir())}
    with stack_folder() as folder:
        yield environment | cache | {paths.STATE_VARIABLE: str(folder)}
