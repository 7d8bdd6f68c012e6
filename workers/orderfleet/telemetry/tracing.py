"""Turns tracing on, as long as a role or a command runs. The command line calls it.

Without a receiver nothing of OpenTelemetry's SDK is loaded: spans then go nowhere.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace

LAST_WORDS: Final = 3.0
"""Seconds that a process waits at its end for what is left to be sent."""


@contextmanager
def sending(endpoint: str, role: str, *, environment: str, ratio: float) -> Iterator[None]:
    """Send spans while the context is open, then what is left within `LAST_WORDS`; once a process.

    Args:
        endpoint: `host:port`, `http://host:port` or `https://host:port`; empty sends nothing.
        role: what the process is.
        environment: where it runs.
        ratio: share of the traces that are kept.
    """
    if not endpoint:
        yield
        return
    from orderfleet.telemetry.export import make_provider  # noqa: PLC0415 - loads the SDK and grpc

    provider = make_provider(endpoint, role, environment=environment, ratio=ratio)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # In a thread that is left behind: with a receiver that is away, the SDK waits half a minute.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_WORDS)
