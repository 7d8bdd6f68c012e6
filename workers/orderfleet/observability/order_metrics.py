"""Metrics of orders, payments, steps and provider calls, and a span of each provider call.

It must never export an error's message: a provider's may name a customer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeVar

from opentelemetry.trace import SpanKind, Status, StatusCode

from orderfleet.domain import errors
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.observability import metrics
from orderfleet.observability.tracing import TRACER, exemplar

Item = TypeVar("Item")

_UNAVAILABLE = (errors.ProviderUnavailable, errors.CarrierUnavailable, TimeoutError)

_REFUSED = (errors.PaymentRefused, errors.PaymentVoided, errors.PaymentsNotListed, errors.CarrierRefused)


class ProviderCallMetrics:
    """Measures the calls of one provider.

    Args:
        provider: `payments` or `carrier`.
        adapter: name of the adapter, for the span.
    """

    def __init__(self, provider: str, adapter: str) -> None:
        self._provider = provider
        self._adapter = adapter

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Measure the call inside, in a span of its own; `name` is the operation, such as `charge`."""
        started, outcome = time.perf_counter(), "error"
        attributes = {"peer.service": self._provider, "orderfleet.adapter": self._adapter}
        with TRACER.start_as_current_span(
            f"{self._provider} {name}", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                outcome = _call_outcome(error)
                # The class only: a provider's message may name a customer.
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
            else:
                outcome = "ok"
            finally:
                self._observe(name, outcome, time.perf_counter() - started)

    async def iteration(self, name: str, items: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
        """Yield `items`, and measure the time that the provider needs for all of them; `name` is the operation."""
        seconds, outcome = 0.0, "canceled"
        try:
            while True:
                started = time.perf_counter()
                try:
                    item = await anext(items)
                finally:
                    seconds += time.perf_counter() - started
                yield item
        except StopAsyncIteration:
            outcome = "ok"
        except Exception as error:
            outcome = _call_outcome(error)
            raise
        finally:
            self._observe(name, outcome, seconds)

    def _observe(self, name: str, outcome: str, seconds: float) -> None:
        metrics.PROVIDER_CALL_DURATION.labels(provider=self._provider, call=name, outcome=outcome).observe(
            seconds, exemplar=exemplar()
        )


def _call_outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "canceled"
    if isinstance(error, _UNAVAILABLE):
        return "unavailable"
    return "refused" if isinstance(error, _REFUSED) else "error"


def count_ended(outcome: Step, lasted: timedelta) -> None:
    """Count an ended order."""
    metrics.ORDER_DURATION.labels(outcome=outcome).observe(lasted.total_seconds(), exemplar=exemplar())


def count_payment(status: PaymentStatus) -> None:
    """Count a payment that has another status, if that is a final result of its charge or authorization."""
    if status in metrics.PAYMENT_RESULTS:
        metrics.PAYMENTS.labels(result=status.lower()).inc(exemplar=exemplar())


def count_refund(result: str) -> None:
    """Count a refund that begins or ends; `result` is one of `metrics.REFUND_RESULTS`."""
    metrics.REFUNDS.labels(result=result).inc(exemplar=exemplar())


OTHER: Final = "other"


def attempt_started(activity: str, attempt: int, *, local: bool) -> None:
    """Count an attempt, and a retry if it is not the first one."""
    metrics.STEP_ATTEMPTS.labels(activity=activity, kind="local" if local else "regular").inc(exemplar=exemplar())
    if attempt > 1:
        metrics.STEP_RETRIES.labels(activity=activity).inc(exemplar=exemplar())


def attempt_ended(activity: str, seconds: float, error: BaseException | None, *, timed_out: bool) -> None:
    """Record the duration and the outcome of an attempt."""
    if timed_out:
        metrics.STEP_TIMEOUTS.labels(activity=activity).inc(exemplar=exemplar())
    if isinstance(error, Exception):
        metrics.STEP_FAILURES.labels(activity=activity, error=error_class(error)).inc(exemplar=exemplar())
    outcome = "timed_out" if timed_out else _step_outcome(error)
    metrics.STEP_DURATION.labels(activity=activity, outcome=outcome).observe(seconds, exemplar=exemplar())


def error_class(error: BaseException) -> str:
    """The class name of an error of Orderfleet's, or `other`, so that the label has a bounded number of values."""
    # An ApplicationError carries options for Temporal, such as the next retry delay; its cause is the error itself.
    own = (type(each).__name__ for each in (error, error.__cause__) if isinstance(each, errors.OrderfleetError))
    return next(own, OTHER)


def _step_outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return "canceled" if isinstance(error, asyncio.CancelledError) else "failed"
