"""`order watch` over a desk that answers what the test says, one answer at each look."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from orderfleet.cli.errors import UsageError
from orderfleet.cli.order import listing, views
from orderfleet.cli.output import Output
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.listing import OrderPage
from orderfleet.domain.order import Address
from orderfleet.domain.status import PaymentView, Step
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.services.orders import Source, SourcedStatus

AT = "2026-11-21T10:00:00Z"
ADDRESS = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")


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


class Desk:
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
            raise StoreUnavailable("Postgres is away")
        return [RecordedEvent(id=1, kind=EventKind.RECEIVED, step=Step.RECEIVE, at=AT, detail={"a": "[b]"})]


@pytest.fixture
def follow(monkeypatch):
    monkeypatch.setattr(views, "_GAP", 0)

    def run(output, *answers):
        there = SimpleNamespace(desk=Desk(*answers))
        monkeypatch.setattr(views, "run", lambda call: asyncio.run(call(there)))
        views.follow("ord-1", output)

    return run


def test_what_is_away_for_a_time_is_waited_for(follow, capsys):
    charge = at(Step.CHARGE, retries={"charge": 1}, last_error="boom")
    follow(Output.TABLE, charge, TemporalUnavailable("Temporal is away"), StoreUnavailable("x"), charge, ENDED)
    told = capsys.readouterr()
    lines = [line.split("  ", 1)[1] for line in told.out.splitlines()]
    assert lines == ["charge  retries charge 1  last error: boom", "canceled  canceled: ordered twice"]
    assert told.err.splitlines() == ["orderfleet: Temporal is away; trying again", "orderfleet: x; trying again"]


def test_what_was_never_there_is_not_waited_for(follow):
    with pytest.raises(TemporalUnavailable):
        follow(Output.TABLE, TemporalUnavailable("Temporal is away"))


def test_programs_get_a_line_a_change(follow, capsys):
    follow(Output.JSON, at(Step.CHARGE), at(Step.CHARGE), StoreUnavailable("x"), ENDED)
    told = capsys.readouterr()
    assert [json.loads(line)["step"] for line in told.out.splitlines()] == ["charge", "canceled"]
    assert told.err == "orderfleet: x; trying again\n"


def test_a_terminal_shows_the_order_and_its_trail(follow, monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    monkeypatch.setattr(views, "console", lambda: terminal)
    follow(Output.TABLE, at(Step.CHARGE), StoreUnavailable("Postgres is away"), at(Step.SHIPPING), ENDED)
    shown = out.getvalue()
    assert "Postgres is away; trying again" in shown
    assert "a=[b]" in shown
    last = shown[shown.rindex("order     ord-1") :]
    assert "ordered twice" in last
    assert "received" in last


ALL = {"limit": 5, "step": None, "customer": None, "since": None, "before": None, "watching": True}


def test_a_list_is_shown_anew_until_it_is_interrupted(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=120, height=40, color_system=None)
    answers = [
        OrderPage(orders=(at(Step.MANUAL_REVIEW),)),
        StoreUnavailable("Postgres is away"),
        OrderPage(orders=(ENDED,)),
        KeyboardInterrupt(),
    ]

    async def page(wanted, *, after, limit):
        assert (wanted.step, after, limit) == (None, None, 5)
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(listing, "_GAP", 0)
    monkeypatch.setattr(listing, "console", lambda: terminal)
    monkeypatch.setattr(
        listing, "run", lambda call: asyncio.run(call(SimpleNamespace(desk=SimpleNamespace(page=page))))
    )
    with pytest.raises(KeyboardInterrupt):
        listing.list_orders(**ALL, output=Output.TABLE)
    assert out.getvalue().index("manual_review") < out.getvalue().index("ordered twice")


def test_a_list_can_be_watched_on_a_terminal_only():
    with pytest.raises(UsageError, match="needs a terminal"):
        listing.list_orders(**ALL, output=Output.JSON)
