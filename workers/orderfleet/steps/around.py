"""What stands around every activity of a worker, outermost first. The workers' entry points call it."""

from __future__ import annotations

from temporalio.worker import Interceptor

from orderfleet.contracts.errors import WrongSetting
from orderfleet.observers import StepObserver, Unwatched
from orderfleet.ports import AttemptLog
from orderfleet.steps.attempts import AttemptInterceptor
from orderfleet.steps.faults import FaultInterceptor, parse_faults
from orderfleet.steps.measured import MeasureInterceptor


class WrongFaults(WrongSetting):
    """The faults to inject can't be read; the message shows the notation."""


def around_steps(log: AttemptLog, faults: str, observer: StepObserver | None = None) -> list[Interceptor]:
    """The interceptors: attempts are measured, failed ones told, and injected faults are attempts like any other.

    Raises:
        WrongFaults: `faults` can't be read.
    """
    interceptors: list[Interceptor] = [MeasureInterceptor(observer or Unwatched()), AttemptInterceptor(log)]
    try:
        plan = parse_faults(faults)
    except ValueError as error:
        raise WrongFaults(f"ORDERFLEET_FAULTS: {error}") from None
    if plan.by_step:
        interceptors.append(FaultInterceptor(plan))
    return interceptors
