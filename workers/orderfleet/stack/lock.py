"""One command at a time on one stack.

`lifecycle` holds the lock while it starts or stops a stack. The kernel frees the lock of a
process that dies. It must never be held while a stack merely runs.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet.stack.errors import Busy


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of the stack in `folder`.

    Raises:
        Busy: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Busy(
                f"another command (process {holder}) is starting or stopping this stack;"
                " wait until it is done and try again"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
