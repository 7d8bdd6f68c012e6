"""Gives the steps of an order that came without a trace one trace all the same. `runtime.temporal` puts it in.

Somebody may start the workflow by a raw Temporal client; then no header tells a trace, and without
this each attempt would be a trace of its own.
"""

from __future__ import annotations

from typing import Any, Final

from temporalio import client, worker

from orderfleet.contracts.steps import StepInput
from orderfleet.telemetry.order_trace import belonging

_HEADER: Final = "_tracer-data"
"""Where Temporal's tracing interceptor keeps the trace."""


class RawStarts(client.Interceptor, worker.Interceptor):
    """To stand before the tracing interceptor."""

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Attempt(next)


class _Attempt(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        given = input.args[0] if input.args else None
        if _HEADER in input.headers or not isinstance(given, StepInput) or not given.order_id:
            return await super().execute_activity(input)
        with belonging(given.order_id):
            return await super().execute_activity(input)
