from __future__ import annotations

from datetime import timedelta

import pytest

from orderfleet.temporal.faults import FLAKY, STEPS, Fault, parse_faults
from orderfleet.temporal.step_interceptors import InvalidFaults, StepInterceptor


def test_default_plan_has_no_faults() -> None:
    plan = parse_faults("")
    assert all(plan.draw(step, str(n)) is None for step in STEPS for n in range(50))


def test_flaky_fails_and_hangs_a_third_each() -> None:
    plan = parse_faults("flaky")
    drawn = [plan.draw("charge", str(n)) for n in range(3000)]
    errors = sum(1 for fault in drawn if fault and fault.error)
    hangs = [fault for fault in drawn if fault and fault.hang]
    assert abs(errors - 1000) < 120
    assert abs(len(hangs) - 1000) < 120
    assert {fault.length for fault in hangs} == {timedelta(seconds=300)}


def test_fault_of_one_step_with_a_seed() -> None:
    plan = parse_faults("charge:error=1;seed=7")
    assert plan.seed == 7
    assert plan.draw("charge", "x") == Fault(error=1)
    assert plan.draw("receive", "x") is None


def test_same_seed_draws_the_same_faults() -> None:
    def draws(text: str) -> list[Fault | None]:
        plan = parse_faults(text)
        return [plan.draw("charge", str(n)) for n in range(100)]

    assert draws(f"{FLAKY};seed=1") == draws(f"{FLAKY};seed=1") != draws(f"{FLAKY};seed=2")


def test_attempts_limits_faults_to_the_first_attempts() -> None:
    plan = parse_faults("charge:error=1,attempts=2")
    assert [plan.draw("charge", "x", attempt) is None for attempt in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("chrage:error=1", "'chrage' is not a step"),
        ("charge:eror=1", "'eror' is not error"),
        ("charge:error=often", "'often' is not a number"),
        ("charge:error=0.7,hang=0.7", "together at most 1"),
        ("charge:hang=1,length=soon", "is not a duration"),
        ("charge", "is not error, hang, length or attempts"),
        ("seed=x", "'x' is not a number"),
    ],
)
def test_invalid_faults_are_rejected_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_faults(text)


def test_invalid_faults_are_an_invalid_setting_of_the_worker() -> None:
    with pytest.raises(InvalidFaults, match="ORDERFLEET_FAULTS: 'chrage' is not a step"):
        StepInterceptor(None, "chrage:error=1")
