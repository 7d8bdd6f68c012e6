"""What stands around every activity of a worker, outermost first. The workers' entry points call it."""

from __future__ import annotations

from temporalio.worker import Interceptor

from orderfleet.observers import StepObserver, Unwatched
from orderfleet.ports import AttemptLog
from orderfleet.steps.attempts import AttemptInterceptor
from orderfleet.steps.faults import FaultInterceptor, parse_faults
from orderfleet.steps.measured import MeasureInterceptor


def around_steps(log: AttemptLog, faults: str, observer: StepObserver | None = None) -> list[Interceptor]:
    """The interceptors: attempts are measured, failed ones told, and injected faults are attempts like any other.

    Raises:
        ValueError: `faults` can't be read.
    """
    interceptors: list[Interceptor] = [MeasureInterceptor(observer or Unwatched()), AttemptInterceptor(log)]
    plan = parse_faults(faults)
    if plan.by_step:
        interceptors.append(FaultInterceptor(plan))
    return interceptors
