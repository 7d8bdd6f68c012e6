"""Activity side: what happens when an attempt fails.

An interceptor around every activity. A failed attempt is told to the record as an event, best
effort: an attempt that hangs or is killed can't tell, so the next one does in its place.
Whoever asked to be left alone for a while is; an error of a user's own kind counts as ours it derives from.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from orderfleet.contracts.errors import FINAL_ERRORS, STORE_UNAVAILABLE, StoreRejected, StoreUnavailable
from orderfleet.contracts.record import AuditEvent, EventKind
from orderfleet.contracts.status import Step
from orderfleet.contracts.steps import StepInput
from orderfleet.contracts.words import cut, error_message
from orderfleet.ports import AttemptLog
from orderfleet.steps.retry_after import requested_gap

_STEP_OF = {
    "receive": Step.RECEIVE,
    "validate": Step.VALIDATE,
    "charge": Step.CHARGE,
    "void_payment": Step.CHARGE,
    "prepare_package": Step.SHIPPING,
    "dispatch_carrier": Step.SHIPPING,
    "void_booking": Step.SHIPPING,
}
"""The order's step an activity works for; what records or refunds belongs to no single one."""


_NO_WORD: Final = "no answer: it hung, or its worker was killed"
_OWED: Final = frozenset({"refund", "void_payment", "void_booking"})
"""Done until they succeed, so a refusal is a failed attempt like any other. Elsewhere a definite refusal
is told by the workflow, which knows what becomes of the order."""


class AttemptInterceptor(Interceptor):
    """Tells the record of failed attempts, and marks an outage of the store as one."""

    def __init__(self, log: AttemptLog) -> None:
        self._log = log

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Attempt(next, self._log)


class _Attempt(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, log: AttemptLog) -> None:
        super().__init__(following)
        self._log = log

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        attempt = activity.info().attempt
        if attempt == 1:
            return await self._execute(input)
        # Beside the step, which must not lose the time it has while the record is slow. One that could
        # tell of itself keeps its own words.
        before = asyncio.create_task(self._tell(input, attempt - 1, _NO_WORD))
        try:
            return await self._execute(input)
        finally:
            await before

    async def _execute(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        try:
            return await super().execute_activity(input)
        except StoreUnavailable as error:
            # The workflow waits this out; it needs to know how many attempts were used before.
            raise ApplicationError(
                str(error), activity.info().attempt, type=STORE_UNAVAILABLE, non_retryable=True
            ) from error
        except Exception as error:
            final, attempt = _final(error), activity.info().attempt
            if final is None or activity.info().activity_type in _OWED:
                await self._tell(input, attempt, cut(error_message(error)))
            if final is None:
                delay = requested_gap(error, activity.info())
                if delay is not None:
                    raise ApplicationError(str(error), type=type(error).__name__, next_retry_delay=delay) from error
            elif final != type(error).__name__ or attempt > 1:
                raise ApplicationError(str(error), attempt, type=final, non_retryable=True) from error
            raise

    async def _tell(self, call: ExecuteActivityInput, attempt: int, text: str) -> None:
        info, step = activity.info(), call.args[0] if call.args else None
        if not isinstance(step, StepInput):
            return
        count = step.earlier_attempts + attempt
        event = AuditEvent(
            key=f"{info.workflow_run_id or ''}/{info.activity_id}/{attempt}",
            kind=EventKind.ATTEMPT_FAILED,
            step=_STEP_OF.get(info.activity_type, Step.SHIPPING),
            at=info.started_time,
            detail={"activity": info.activity_type, "attempt": count, "error": text},
        )
        with contextlib.suppress(StoreUnavailable, StoreRejected):
            await self._log.attempt_failed(step.order_id, info.activity_type, count, text, event)


def _final(error: Exception) -> str | None:
    """The final error that it is or derives from, as Temporal's failures name it."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in FINAL_ERRORS), None)
