"""Gives the steps of an order that came without a trace one trace all the same. `runtime.temporal` puts it in.

Somebody may start the workflow by a raw Temporal client; then no header tells a trace, and without
this each attempt would be a trace of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, get_type_hints

import structlog
from opentelemetry import trace
from temporalio import activity, client, worker
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import truncate
from orderfleet.domain.errors import (
    INVALID_INPUT,
    CarrierRefused,
    OrderfleetError,
    PayloadDecryptionError,
    PaymentOutcomeUnknown,
    PaymentRefused,
    PaymentVoided,
    ProviderRequestRejected,
    Unavailable,
)
from orderfleet.domain.inputs import Unreadable
from orderfleet.observability.order_trace import ORDER_ID, order_context

_HEADER: Final = "_tracer-data"

"""Where Temporal's tracing interceptor keeps the trace."""


class UntracedOrders(client.Interceptor, worker.Interceptor):
    """To stand before the tracing interceptor."""

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Attempt(next)


class _Attempt(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        given = input.args[0] if input.args else None
        if _HEADER in input.headers or not isinstance(given, StepInput) or not given.order_id:
            return await super().execute_activity(input)
        with order_context(given.order_id):
            return await super().execute_activity(input)


_log = structlog.get_logger()


ATTEMPT: Final = "orderfleet.step.attempt"

STEP: Final = "orderfleet.step.name"


_OUTSIDE: Final = (
    Unavailable,
    PaymentRefused,
    PaymentVoided,
    PaymentOutcomeUnknown,
    ProviderRequestRejected,
    CarrierRefused,
)

"""Errors that quote the payment provider or the carrier."""


class ActivityIdentity(Interceptor):
    """Binds order, workflow, activity and attempt to logs and span."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Named(next)


class _Named(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        given = input.args[0] if input.args else None
        order_id = given.order_id if isinstance(given, StepInput) else ""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(
                {
                    **({ORDER_ID: order_id} if order_id else {}),
                    STEP: info.activity_type,
                    ATTEMPT: info.attempt,
                    "orderfleet.step.local": info.is_local,
                }
            )
        with structlog.contextvars.bound_contextvars(
            **({"order_id": order_id} if order_id else {}),
            workflow_id=info.workflow_id,
            activity=info.activity_type,
            attempt=info.attempt,
        ):
            try:
                _check(info.activity_type, input)
                return await super().execute_activity(input)
            except Exception as error:
                _tell(error)
                raise


def _check(name: str, given: ExecuteActivityInput) -> None:
    """Refuse what the activity can't be called with, before it has done anything.

    Raises:
        ApplicationError: it would fail at every further attempt as well; the message names the activity.
        PayloadSealed: no key opens it. What activities are given is ours, so the keys are not all there yet.
    """
    expected = _parameters(given.fn)
    count = len(given.args)
    problem = "" if count == len(expected) else f"takes {len(expected)} arguments; {count} were given"
    for value, kind in zip(given.args, expected, strict=False):
        if isinstance(value, Unreadable):
            if value.encrypted:
                raise PayloadDecryptionError(value.reason)
            problem = problem or value.reason
        elif isinstance(kind, type) and not isinstance(value, kind):
            problem = problem or f"takes an object of type {kind.__name__}"
    if problem:
        raise ApplicationError(truncate(f"activity {name}: {problem}"), type=INVALID_INPUT, non_retryable=True)


@lru_cache(maxsize=256)
def _parameters(activity_fn: Callable[..., Any]) -> tuple[Any, ...]:
    """The types of an activity's parameters; `object` for one without."""
    hints = get_type_hints(activity_fn)
    return tuple(hints.get(parameter, object) for parameter in inspect.signature(activity_fn).parameters)


def _tell(error: Exception) -> None:
    """One line for a failure that was thought of, a traceback for one that wasn't."""
    expected = isinstance(error, OrderfleetError | ApplicationError)
    kind, text = type(error).__name__, str(error)
    if isinstance(error, ApplicationError):
        kind, text = error.type or kind, error.message
    if isinstance(error, _OUTSIDE) or isinstance(error.__cause__, _OUTSIDE):
        # Behind the colon stand their own words, which may name a customer; the audit trail keeps them.
        text = text.partition(": ")[0]
    _log.warning("attempt failed", error=f"{kind}: {truncate(text)}", exc_info=None if expected else error)
