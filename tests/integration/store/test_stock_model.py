"""Random sequences of reservations, commits, counts and expiries, compared with a small model after each step."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orderfleet.domain.stock import LevelCount, Reservation, StockOutcome, StockPlace
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin

T = TypeVar("T")
Key = tuple[str, str]
"""Line and location."""
Lines = dict[Key, int]

LOCATIONS: Final = ("a", "b")
OWNERS: Final = ("o1", "o2", "o3")
LINES = st.dictionaries(
    st.tuples(st.sampled_from(("1", "2")), st.sampled_from(LOCATIONS)), st.integers(1, 4), max_size=3
)
SOME_LINES = LINES.filter(bool)
OWNER, LOCATION = st.sampled_from(OWNERS), st.sampled_from(LOCATIONS)
REVISION = st.none() | st.integers(1, 6)

ROWS = """
select owner, line, location, qty, committed, taken, state, past_gate, coalesce(expires_at <= clock_timestamp(), false)
from stock_reservations where sku = $1
"""
numbers = itertools.count()


@dataclass(frozen=True)
class Row:
    qty: int
    committed: int
    taken: int
    state: str
    gate: bool
    made: int = 0
    """Number of the step that inserted it."""

    @property
    def open(self) -> int:
        return self.qty - self.committed

    def without_open(self) -> Row:
        return replace(self, qty=self.committed, taken=0, state="committed", gate=False)


class Model:
    """What the stock should be. An expired reservation is gone at once."""

    def __init__(self) -> None:
        self.on_hand = dict.fromkeys(LOCATIONS, 0)
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.revisions: dict[str, tuple[int, Lines]] = {}
        self.keys: dict[tuple[str, str], tuple[str, Lines]] = {}
        self.step = 0

    def reserved(self, location: str) -> int:
        return sum(row.open for (_, _, at), row in self.rows.items() if at == location)

    def of(self, owner: str) -> dict[Key, Row]:
        return {(line, at): row for (by, line, at), row in self.rows.items() if by == owner}

    def reserve(self, owner: str, revision: int | None, lines: Lines, *, confirm: bool) -> StockOutcome:
        present, content = self.revisions.get(owner, (0, {}))
        number = present + (content != lines) if revision is None else revision
        if number < present or (number == present and content != lines):
            return StockOutcome.OUTDATED
        rows, change = self.of(owner), Counter[str]()
        for key in {*rows, *lines}:
            row = rows.get(key, Row(0, 0, 0, "", gate=False))
            change[key[1]] += max(lines.get(key, 0), row.committed) - row.qty
        if any(more > max(0, self.on_hand[at] - self.reserved(at)) for at, more in change.items() if more > 0):
            return StockOutcome.CONFLICT
        for (line, at), row in rows.items():
            if (line, at) not in lines:
                del self.rows[owner, line, at]
                if row.committed:
                    self.rows[owner, line, at] = row.without_open()
        wanted = "confirmed" if confirm else "held"
        for (line, at), qty in lines.items():
            row = rows.get((line, at), Row(0, 0, 0, wanted, gate=False, made=self.step))
            if qty <= row.committed:
                self.rows[owner, line, at] = row.without_open()
            else:
                state = "confirmed" if row.state == "confirmed" else wanted
                self.rows[owner, line, at] = replace(row, qty=qty, taken=0, state=state)
        self.revisions[owner] = (number, lines)
        return StockOutcome.APPLIED

    def moved(self, kind: str, owner: str, key: str, lines: Lines) -> StockOutcome | None:
        """The answer for a key that was used; None for a new one."""
        if (kind, key) not in self.keys:
            return None
        same = self.keys[kind, key] == (owner, lines)
        return StockOutcome.APPLIED if same else StockOutcome.KEY_CONFLICT

    def commit(self, owner: str, key: str, lines: Lines) -> StockOutcome:
        if answer := self.moved("committed", owner, key, lines):
            return answer
        rows = self.of(owner)
        if any(each not in rows or rows[each].open < qty for each, qty in lines.items()):
            return StockOutcome.CONFLICT
        for (line, at), qty in lines.items():
            row = replace(rows[line, at], committed=rows[line, at].committed + qty)
            # What a count took away stays known until the next revision.
            self.rows[owner, line, at] = row if row.open else replace(row, state="committed", gate=False)
            self.on_hand[at] -= qty
        self.keys["committed", key] = (owner, lines)
        return StockOutcome.APPLIED

    def restock(self, owner: str, key: str, lines: Lines) -> StockOutcome:
        if answer := self.moved("restocked", owner, key, lines):
            return answer
        for (_, at), qty in lines.items():
            self.on_hand[at] += qty
        self.keys["restocked", key] = (owner, lines)
        return StockOutcome.APPLIED

    def pass_gate(self, owner: str, lines: Lines, *, passed: bool) -> bool:
        rows = {key: row for key, row in self.of(owner).items() if row.state == "confirmed"}
        if passed and any(each not in rows or rows[each].open < qty for each, qty in lines.items()):
            return False
        for line, at in lines:
            if (line, at) in rows:
                self.rows[owner, line, at] = replace(rows[line, at], gate=passed)
        return True

    def count(self, location: str, on_hand: int) -> dict[tuple[str, str, str], int]:
        if self.on_hand[location] == on_hand:
            return {}
        self.on_hand[location] = on_hand
        victims = [
            (key, row)
            for key, row in self.rows.items()
            if key[2] == location and row.state != "committed" and not row.gate and row.open
        ]
        victims.sort(key=lambda each: (each[1].state == "held", each[1].made, each[0][0], each[0][1]), reverse=True)
        lost = {}
        for key, row in victims:
            takes = min(row.open, max(0, self.reserved(location) - on_hand))
            if takes:
                self.rows[key] = replace(row, qty=row.qty - takes, taken=row.taken + takes)
                lost[key] = takes
        return lost

    def adjust(self, location: str, pieces: int) -> StockOutcome:
        if pieces < 0 and self.on_hand[location] + pieces < self.reserved(location):
            return StockOutcome.CONFLICT
        self.on_hand[location] += pieces
        return StockOutcome.APPLIED

    def expire(self, owner: str) -> None:
        for (line, at), row in self.of(owner).items():
            if row.state == "held":
                del self.rows[owner, line, at]
                if row.committed:
                    self.rows[owner, line, at] = row.without_open()


class StockMachine(RuleBasedStateMachine):
    """Each rule does the same to the database and to the model, and compares the answers."""

    def __init__(self, url: str) -> None:
        super().__init__()
        # Of its own in each example, because all share one database.
        number = next(numbers)
        self.sku, self.prefix = f"sku-{number}", f"{number}-"
        self.model = Model()
        self.runner = asyncio.Runner()
        self.database = Database(url, pool_size=1, timeout=timedelta(seconds=30))
        self.stock, self.admin = PostgresStock(self.database), StockAdmin(self.database)

    def teardown(self) -> None:
        self.run(self.database.close())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        self.model.step += 1
        return self.runner.run(call)

    def places(self, lines: Lines) -> tuple[StockPlace, ...]:
        return tuple(StockPlace(line=line, sku=self.sku, location=at, qty=qty) for (line, at), qty in lines.items())

    @initialize(counts=st.tuples(st.integers(0, 8), st.integers(0, 8)))
    def fill(self, counts: tuple[int, int]) -> None:
        for location, on_hand in zip(LOCATIONS, counts, strict=True):
            self.run(self.admin.set_location(location))
            self.count(location, on_hand)

    @rule(owner=OWNER, revision=REVISION, lines=LINES, confirm=st.booleans())
    def reserve(self, owner: str, revision: int | None, lines: Lines, confirm: bool) -> None:
        request = Reservation(
            owner=self.prefix + owner, revision=revision, lines=self.places(lines), confirm=confirm, seconds=3600
        )
        [answer] = self.run(self.stock.reserve([request]))
        assert answer.outcome is self.model.reserve(owner, revision, lines, confirm=confirm)
        if answer.outcome is not StockOutcome.CONFLICT:
            assert answer.revision == self.model.revisions.get(owner, (0, {}))[0]

    @rule(owner=OWNER, confirm=st.booleans())
    def repeat(self, owner: str, confirm: bool) -> None:
        revision, lines = self.model.revisions.get(owner, (0, {}))
        if revision:
            self.reserve(owner, revision, lines, confirm)

    @rule(owner=OWNER)
    def release(self, owner: str) -> None:
        self.reserve(owner, None, {}, confirm=False)

    @rule(owner=OWNER, key=st.integers(1, 9), lines=SOME_LINES)
    def commit(self, owner: str, key: int, lines: Lines) -> None:
        answer = self.run(self.stock.commit(self.prefix + owner, f"{self.prefix}{key}", self.places(lines)))
        assert answer.outcome is self.model.commit(owner, str(key), lines)

    @rule(owner=OWNER, key=st.integers(1, 9), keep=st.integers(0, 2))
    def commit_what_is_reserved(self, owner: str, key: int, keep: int) -> None:
        rows = self.model.of(owner)
        lines = {each: row.open - keep for each, row in rows.items() if row.open > keep}
        if lines:
            self.commit(owner, key, lines)

    @rule(owner=OWNER, key=st.integers(1, 9), lines=SOME_LINES)
    def restock(self, owner: str, key: int, lines: Lines) -> None:
        call = self.stock.restock(self.prefix + owner, f"{self.prefix}{key}", self.places(lines), "returned")
        assert self.run(call).outcome is self.model.restock(owner, str(key), lines)

    @rule(owner=OWNER, passed=st.booleans())
    def pass_gate(self, owner: str, passed: bool) -> None:
        lines = {each: row.open for each, row in self.model.of(owner).items() if row.open}
        if lines:
            answer = self.run(self.stock.pass_gate(self.prefix + owner, self.places(lines), passed=passed))
            assert answer is self.model.pass_gate(owner, lines, passed=passed)

    @rule(location=LOCATION, on_hand=st.integers(0, 8))
    def count(self, location: str, on_hand: int) -> None:
        counted = [LevelCount(sku=self.sku, location=location, on_hand=on_hand)]
        _, result, _ = self.run(self.admin.count(counted, "stocktaking", "test"))
        lost = {(each.owner.removeprefix(self.prefix), each.line, each.location): each.qty for each in result.lost}
        assert lost == self.model.count(location, on_hand)

    @rule(location=LOCATION, pieces=st.integers(-4, 4))
    def adjust(self, location: str, pieces: int) -> None:
        outcome, _ = self.run(self.admin.adjust(self.sku, location, pieces, reason="found", actor="test"))
        assert outcome is self.model.adjust(location, pieces)

    @rule(owner=OWNER, remove=st.booleans())
    def expire(self, owner: str, remove: bool) -> None:
        sql = (
            "update stock_reservations set expires_at = clock_timestamp() - interval '1 s'"
            " where owner = $1 and state = 'held'"
        )
        self.run(self.database.fetch(sql, self.prefix + owner))
        self.model.expire(owner)
        if remove:
            self.run(self.stock.remove_expired())

    @invariant()
    def same_rows_and_levels(self) -> None:
        assert dict(self._rows()) == {key: replace(row, made=0) for key, row in self.model.rows.items()}
        levels = {each["location"]: (each["on_hand"], each["reserved"]) for each in self._levels()}
        assert levels == {
            location: (on_hand, self.model.reserved(location))
            for location, on_hand in self.model.on_hand.items()
            if location in levels
        }

    def _rows(self) -> Iterator[tuple[tuple[str, str, str], Row]]:
        for owner, line, location, *values, expired in self.run(self.database.fetch(ROWS, self.sku)):
            row = Row(*values)
            key = (owner.removeprefix(self.prefix), line, location)
            if not expired:
                yield key, row
            elif row.committed:
                yield key, row.without_open()

    def _levels(self) -> list[Any]:
        return self.run(
            self.database.fetch("select location, on_hand, reserved from stock_availability where sku = $1", self.sku)
        )


@pytest.mark.timeout(600)
def test_random_sequences_do_what_the_model_does(postgres_url: str) -> None:
    run_state_machine_as_test(
        lambda: StockMachine(postgres_url), settings=settings(max_examples=40, stateful_step_count=40)
    )
