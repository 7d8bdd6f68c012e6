"""Steps run as soon as what they need is done, and all stop when one fails."""

from __future__ import annotations

import threading

import pytest

from orderfleet_local.stack.graph import Step, run


def test_a_step_starts_after_what_it_needs():
    order: list[str] = []
    steps = [
        Step("last", ("middle", "first"), lambda _: order.append("last")),
        Step("middle", ("first",), lambda _: order.append("middle")),
        Step("first", ("elsewhere",), lambda _: order.append("first")),
    ]
    run(steps)
    assert order == ["first", "middle", "last"]


def test_independent_steps_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)
    run([Step(name, (), lambda _: meeting.wait() and None) for name in "ab"])


def test_a_failure_cancels_the_others_and_is_raised():
    began: list[str] = []

    def fail(_: threading.Event) -> None:
        raise ValueError("on purpose")

    def wait(cancelled: threading.Event) -> None:
        assert cancelled.wait(5)
        raise RuntimeError("cancelled")

    steps = [
        Step("waiting", (), wait),
        Step("failing", (), fail),
        Step("after", ("failing",), lambda _: began.append("after")),
    ]
    with pytest.raises(ValueError, match="on purpose"):
        run(steps)
    assert began == []
