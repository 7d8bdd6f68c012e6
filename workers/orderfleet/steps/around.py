"""What stands around every activity of a worker, outermost first. The workers' entry points call it."""

from __future__ import annotations

from temporalio.worker import Interceptor

from orderfleet.ports import AttemptLog
from orderfleet.steps.attempts import AttemptInterceptor
from orderfleet.steps.faults import FaultInterceptor, parse_faults


def around_steps(log: AttemptLog, faults: str) -> list[Interceptor]:
    """The interceptors: failed attempts are told, and injected faults are attempts like any other.

    Raises:
        ValueError: `faults` can't be read.
    """
    interceptors: list[Interceptor] = [AttemptInterceptor(log)]
    plan = parse_faults(faults)
    if plan.by_step:
        interceptors.append(FaultInterceptor(plan))
    return interceptors
