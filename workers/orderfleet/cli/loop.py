"""One event loop for a command, which stays open until the process ends.

Every command that asks Temporal calls `run`. `asyncio.run` closes its loop, and Temporal's client, whose
threads answer calls that nobody waits for any more, prints a traceback for each that finds it closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_kept: Final[list[asyncio.Runner]] = []


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end, as `asyncio.run` does, on a loop that stays open."""
    if not _kept:
        _kept.append(asyncio.Runner())
    return _kept[0].run(main)
