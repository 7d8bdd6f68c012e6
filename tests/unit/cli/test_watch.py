"""`order watch` and `order list --watch` against a service that returns the test's answers, one for each call."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order import views
from orderfleet.cli.output import Output
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.status import OrderPage, PaymentView, Step
from orderfleet.services.errors import Source, SourcedStatus, TemporalUnavailable
from support.factories import ADDRESS

AT = "2026-11-21T10:00:00Z"


def at(step: Step, **changes) -> SourcedStatus:
    return SourcedStatus(
        order_id="ord-1",
        workflow_id="order-ord-1",
        run_id="run",
        step=step,
        address=ADDRESS,
        payment=PaymentView(id="pay-ord-1", amount="9.99", currency="USD"),
        created_at=AT,
        updated_at=AT,
        source=Source.WORKFLOW,
        **changes,
    )


ENDED = at(Step.CANCELED, canceled=True, cancel_reason="ordered twice", completed_at=AT)


class FakeOrders:
    """Returns or raises the given answers in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def live(self, order_id):
        assert order_id == "ord-1"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def events(self, order_id):
        assert order_id == "ord-1"
        if not self.answers:
            raise StoreUnavailable("Postgres is unavailable")
        return [RecordedEvent(id=1, kind=EventKind.RECEIVED, step=Step.RECEIVE, at=AT, detail={"a": "[b]"})]


@pytest.fixture
def follow(monkeypatch):
    monkeypatch.setattr(views, "_POLL_SECONDS", 0)

    def run(output, *answers):
        connection = SimpleNamespace(orders=FakeOrders(*answers))
        monkeypatch.setattr(views, "run", lambda call: asyncio.run(call(connection)))
        views.watch("ord-1", output)

    return run


def test_watch_during_an_outage_retries(follow, capsys):
    charge = at(Step.CHARGE, retries={"charge": 1}, last_error="boom")
    follow(Output.TABLE, charge, TemporalUnavailable("Temporal is unavailable"), StoreUnavailable("x"), charge, ENDED)
    output = capsys.readouterr()
    lines = [line.split("  ", 1)[1] for line in output.out.splitlines()]
    assert lines == ["charge  retries charge 1  last error: boom", "canceled  canceled: ordered twice"]
    assert output.err.splitlines() == ["orderfleet: Temporal is unavailable; retrying", "orderfleet: x; retrying"]


def test_watch_when_the_first_read_fails_raises(follow):
    with pytest.raises(TemporalUnavailable):
        follow(Output.TABLE, TemporalUnavailable("Temporal is unavailable"))


def test_watch_as_json_prints_a_line_for_each_change(follow, capsys):
    follow(Output.JSON, at(Step.CHARGE), at(Step.CHARGE), StoreUnavailable("x"), ENDED)
    output = capsys.readouterr()
    assert [json.loads(line)["step"] for line in output.out.splitlines()] == ["charge", "canceled"]
    assert output.err == "orderfleet: x; retrying\n"


def test_watch_on_a_terminal_shows_status_and_audit_trail(follow, monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    monkeypatch.setattr(views, "console", lambda: terminal)
    follow(Output.TABLE, at(Step.CHARGE), StoreUnavailable("Postgres is unavailable"), at(Step.SHIPPING), ENDED)
    shown = out.getvalue()
    assert "Postgres is unavailable; retrying" in shown
    assert "a=[b]" in shown
    last = shown[shown.rindex("order     ord-1") :]
    assert "ordered twice" in last
    assert "received" in last


ALL = {"limit": 5, "step": None, "customer": None, "since": None, "before": None, "watching": True}


def test_list_watch_refreshes_until_it_is_interrupted(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=120, height=40, color_system=None)
    answers = [
        OrderPage(orders=(at(Step.MANUAL_REVIEW),)),
        StoreUnavailable("Postgres is unavailable"),
        OrderPage(orders=(ENDED,)),
        KeyboardInterrupt(),
    ]

    async def page(wanted, *, after, limit):
        assert (wanted.step, after, limit) == (None, None, 5)
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(views, "_REFRESH_SECONDS", 0)
    monkeypatch.setattr(views, "console", lambda: terminal)
    monkeypatch.setattr(
        views, "run", lambda call: asyncio.run(call(SimpleNamespace(orders=SimpleNamespace(page=page))))
    )
    with pytest.raises(KeyboardInterrupt):
        views.list_orders(**ALL, output=Output.TABLE)
    assert out.getvalue().index("manual_review") < out.getvalue().index("ordered twice")


def test_list_watch_without_a_terminal_is_rejected():
    with pytest.raises(UsageError, match="needs a terminal"):
        views.list_orders(**ALL, output=Output.JSON)
