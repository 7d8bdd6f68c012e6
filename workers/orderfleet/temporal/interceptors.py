"""Interceptor of activities: logs and spans with the order's id.

An activity's input is checked here, before it does anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, get_type_hints

import structlog
from opentelemetry import trace
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.domain import errors
from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import truncate
from orderfleet.domain.inputs import Unreadable
from orderfleet.observability.tracing import ORDER_ID

_log = structlog.get_logger()


ATTEMPT: Final = "orderfleet.step.attempt"
STEP: Final = "orderfleet.step.name"

_PROVIDER_ERRORS: Final = (
    errors.Unavailable,
    errors.PaymentRefused,
    errors.PaymentVoided,
    errors.PaymentOutcomeUnknown,
    errors.ProviderRequestRejected,
    errors.CarrierRefused,
)
"""Errors that quote the payment provider or the carrier."""


class ActivityIdentity(Interceptor):
    """Adds order, workflow, activity and attempt to logs and span."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Identified(next)


class _Identified(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        step = input.args[0] if input.args else None
        order_id = step.order_id if isinstance(step, StepInput) else ""
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
                _log_failure(error)
                raise


def _check(name: str, call: ExecuteActivityInput) -> None:
    """Reject arguments that the activity doesn't take.

    Raises:
        ApplicationError: every further attempt would fail as well; the message names the activity.
        PayloadDecryptionError: no key decrypts them. Orderfleet's own workflows encrypted them, so a key is missing.
    """
    expected = _parameters(call.fn)
    count = len(call.args)
    problem = "" if count == len(expected) else f"takes {len(expected)} arguments; {count} were given"
    for value, kind in zip(call.args, expected, strict=False):
        if isinstance(value, Unreadable):
            if value.encrypted:
                raise errors.PayloadDecryptionError(value.reason)
            problem = problem or value.reason
        elif isinstance(kind, type) and not isinstance(value, kind):
            problem = problem or f"takes an object of type {kind.__name__}"
    if problem:
        raise ApplicationError(truncate(f"activity {name}: {problem}"), type=errors.INVALID_INPUT, non_retryable=True)


@lru_cache(maxsize=256)
def _parameters(activity_fn: Callable[..., Any]) -> tuple[Any, ...]:
    """The types of an activity's parameters; `object` for a parameter without one."""
    hints = get_type_hints(activity_fn)
    return tuple(hints.get(parameter, object) for parameter in inspect.signature(activity_fn).parameters)


def _log_failure(error: Exception) -> None:
    """Log an expected failure in one line, an unexpected one with a traceback."""
    expected = isinstance(error, errors.OrderfleetError | ApplicationError)
    kind, text = type(error).__name__, str(error)
    if isinstance(error, ApplicationError):
        kind, text = error.type or kind, error.message
    if isinstance(error, _PROVIDER_ERRORS) or isinstance(error.__cause__, _PROVIDER_ERRORS):
        # The text behind the colon is the provider's and may name a customer. The audit trail has it.
        text = text.partition(": ")[0]
    _log.warning("attempt failed", error=f"{kind}: {truncate(text)}", exc_info=None if expected else error)
