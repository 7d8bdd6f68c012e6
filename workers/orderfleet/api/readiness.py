"""Whether the API is ready: once Temporal and the record have answered, until it drains.

The probes ask it. It must not turn unready because Temporal or Postgres is away: that would take
every replica out of service at once, and callers would lose the 503 that tells them to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

Check = Callable[[], Awaitable[object]]


class Readiness:
    """Remembers which of the `checks` have answered.

    Args:
        checks: by name of the part; each raises while the part does not answer.
        timeout: seconds that one look may take.
    """

    def __init__(self, checks: Mapping[str, Check], *, timeout: float = 2.0) -> None:
        self._waiting = dict(checks)
        self._timeout = timeout
        self._draining = False

    def drain(self) -> None:
        """Stop being ready: the process is about to end."""
        self._draining = True

    async def problem(self) -> str | None:
        """Why the API is not ready, or None."""
        if self._draining:
            return "draining"
        for name, check in list(self._waiting.items()):
            try:
                async with asyncio.timeout(self._timeout):
                    await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the part has not answered
                return f"{name} has not answered yet: {str(error) or type(error).__name__}"
            self._waiting.pop(name, None)
        return None
