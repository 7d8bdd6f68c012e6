"""Steps run once the steps that they need are done, and all stop when one fails."""

from __future__ import annotations

import threading

import pytest

from orderfleet_local.stack.assembly import Step, run_steps


def test_step_starts_after_the_steps_it_needs():
    order: list[str] = []
    steps = [
        Step("last", ("middle", "first"), lambda _: order.append("last")),
        Step("middle", ("first",), lambda _: order.append("middle")),
        Step("first", ("elsewhere",), lambda _: order.append("first")),
    ]
    run_steps(steps)
    assert order == ["first", "middle", "last"]


def test_independent_steps_run_concurrently():
    meeting = threading.Barrier(2, timeout=30)
    run_steps([Step(name, (), lambda _: meeting.wait() and None) for name in "ab"])


def test_failed_step_cancels_the_others_and_its_error_is_raised():
    started: list[str] = []

    def fail(_: threading.Event) -> None:
        raise ValueError("on purpose")

    def wait(canceled: threading.Event) -> None:
        assert canceled.wait(5)
        raise RuntimeError("canceled")

    steps = [
        Step("waiting", (), wait),
        Step("failing", (), fail),
        Step("after", ("failing",), lambda _: started.append("after")),
    ]
    with pytest.raises(ValueError, match="on purpose"):
        run_steps(steps)
    assert started == []
