"""The time in an attempt: Temporal's time of its start, plus the time since."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from temporalio.testing import ActivityEnvironment

from orderfleet.temporal import step_interceptors
from orderfleet.temporal.step_interceptors import AttemptClock


async def test_attempt_clock_returns_temporals_time(monkeypatch: pytest.MonkeyPatch) -> None:
    started, passed = datetime(2020, 2, 29, tzinfo=UTC), 100.0
    monkeypatch.setattr(step_interceptors, "time", SimpleNamespace(monotonic=lambda: passed))
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, started_time=started)

    async def attempt() -> tuple[datetime, datetime]:
        nonlocal passed
        clock = AttemptClock()
        first = clock.now()
        passed += 2.5
        return first, clock.now()

    assert await environment.run(attempt) == (started, started + timedelta(seconds=2.5))
