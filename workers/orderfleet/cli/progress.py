"""Says on the terminal what a command waits for, once that takes longer than a moment.

Commands put it around what may be slow. It writes to standard error, and only to a terminal: a
program that reads the command's output never sees it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SECONDS: Final = 2.0
"""What is done sooner needs no word."""


@contextmanager
def shown(text: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show `text` with the time it takes until the context is left; a bar where there is a `total`.

    Gives what is to be called as each one of the total is done.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - not for programs

    several = (bars.BarColumn(), bars.MofNCompleteColumn()) if total else ()
    columns = (bars.SpinnerColumn(), bars.TextColumn("{task.description}"), *several, bars.TimeElapsedColumn())
    progress = bars.Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(text, total=total)
    timer = threading.Timer(SECONDS, progress.start)
    timer.start()
    try:
        yield lambda: progress.advance(task)
    finally:
        timer.cancel()
        # One that fired just now must have started before it is stopped.
        timer.join()
        progress.stop()
