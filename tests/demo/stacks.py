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
def stack_environment() -> Iterator[dict[str, str]]:
    """Yield the environment of a shell without settings, with a stack folder of its own."""
    # Not in pytest's folder: as root, Postgres runs under another account, which can't enter it.
    folder = Path(tempfile.mkdtemp(prefix="orderfleet-demo-"))
    folder.chmod(0o755)
    foreign = ("ORDERFLEET_", "TEMPORAL_", "KUBECONFIG", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    cache = {paths.CACHE_VARIABLE: str(paths.cache_dir())}
    try:
        yield environment | cache | {paths.STATE_VARIABLE: str(folder)}
    finally:
        for found in processes.find(folder).values():
            processes.end(found, by=signal.SIGKILL, timeout=5)
        shutil.rmtree(folder, ignore_errors=True)
