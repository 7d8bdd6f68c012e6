"""Measures calls to the payment provider and the carrier, each as a span of its own. Implements `CallObserver`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind, Status, StatusCode

from orderfleet.contracts import errors
from orderfleet.telemetry.catalog import PROVIDER_CALL_DURATION
from orderfleet.telemetry.current import TRACER, exemplar

_UNAVAILABLE = (errors.ProviderUnavailable, errors.CarrierUnavailable, TimeoutError)
_REFUSED = (errors.PaymentRefused, errors.PaymentVoided, errors.CarrierRefused)


class CallMetrics:
    """Calls to one part.

    Args:
        provider: `payments` or `carrier`.
        adapter: which adapter it is, for the span.
    """

    def __init__(self, provider: str, adapter: str) -> None:
        self._provider = provider
        self._adapter = adapter

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Measure one call."""
        began, outcome = time.perf_counter(), "error"
        attributes = {"peer.service": self._provider, "orderfleet.adapter": self._adapter}
        with TRACER.start_as_current_span(
            f"{self._provider} {name}", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                outcome = _outcome(error)
                # Its class only: what a provider says may name a customer.
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
            else:
                outcome = "ok"
            finally:
                PROVIDER_CALL_DURATION.labels(provider=self._provider, call=name, outcome=outcome).observe(
                    time.perf_counter() - began, exemplar=exemplar()
                )


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "canceled"
    if isinstance(error, _UNAVAILABLE):
        return "unavailable"
    return "refused" if isinstance(error, _REFUSED) else "error"
