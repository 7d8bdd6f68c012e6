"""Stands for the client library of a bank: deals in memory, in the bank's own terms.

A deal is found by the key that its first call gives it. Each posting has a key too, under which it is made once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


Answer = TypeVar("Answer")


class Rejected(Exception):
    """The bank rejects a call."""


class Closed(Exception):
    """The deal is closed for ever."""


@dataclass(frozen=True)
class Posting:
    """A movement of money: out of the customer's account if the amount is positive, back to it otherwise."""

    id: str
    key: str
    cents: int
    at: datetime


@dataclass
class Deal:
    """Money of a customer that the bank holds or took."""

    id: str
    key: str
    reference: str
    currency: str
    cents: int
    held: int
    """What may still be taken."""
    opened: datetime
    closed: bool = False
    postings: list[Posting] = field(default_factory=list)

    def posted(self, sign: int) -> int:
        """What was taken (1) or paid back (-1)."""
        return sum(each.cents * sign for each in self.postings if each.cents * sign > 0)


class Bank:
    """Keeps deals by their keys."""

    def __init__(self) -> None:
        self._deals: dict[str, Deal] = {}
        self._numbers = count(1)
        self._loses = False

    @contextmanager
    def losing_an_answer(self) -> Iterator[None]:
        """Lose the answer to the next call inside the context, after the bank acted on it."""
        self._loses = True
        try:
            yield
        finally:
            self._loses = False

    async def open(self, key: str, reference: str, currency: str, cents: int, *, card: str, take: bool) -> Deal:
        """Hold an amount, or take it at once."""
        if (deal := self._deals.get(key)) is None:
            if card == "declined":
                raise Rejected("the card was declined")
            now = datetime.now(UTC)
            deal = Deal(self._id("deal"), key, reference, currency, cents, 0 if take else cents, now)
            self._deals[key] = deal
            if take:
                self._post(deal, key, cents)
        if deal.closed:
            raise Closed(f"{key} is closed")
        taken_at_once = any(posting.key == key for posting in deal.postings)
        if (deal.reference, deal.currency, deal.cents, taken_at_once) != (reference, currency, cents, take):
            raise Rejected(f"{key} was opened with other terms")
        return self._answer(deal)

    async def take(self, key: str, posting_key: str, cents: int, *, last: bool) -> Posting:
        """Take held money; with `last`, hold nothing any more."""
        deal = self._deal(key)
        if (made := self._made(deal, posting_key, cents)) is None:
            if deal.closed:
                raise Closed(f"{key} is closed")
            if cents > deal.held:
                raise Rejected(f"{key} holds {deal.held}, not {cents}")
            deal.held = 0 if last else deal.held - cents
            made = self._post(deal, posting_key, cents)
        return self._answer(made)

    async def pay_back(self, key: str, posting_key: str, cents: int) -> Posting:
        """Pay taken money back."""
        deal = self._deal(key)
        if (made := self._made(deal, posting_key, -cents)) is None:
            if deal.closed:
                raise Closed(f"{key} is closed")
            if cents > deal.posted(1) - deal.posted(-1):
                raise Rejected(f"{key} has less than {cents} to pay back")
            made = self._post(deal, posting_key, -cents)
        return self._answer(made)

    async def close(self, key: str, reference: str, currency: str, cents: int) -> Deal:
        """Hold nothing and pay everything back; a deal that was not opened is closed too."""
        now = datetime.now(UTC)
        deal = self._deals.setdefault(key, Deal(self._id("deal"), key, reference, currency, cents, 0, now))
        rest = deal.posted(1) - deal.posted(-1)
        if not deal.closed and rest:
            self._post(deal, f"{key}/close", -rest)
        deal.closed = True
        return self._answer(deal)

    async def find(self, key: str) -> Deal | None:
        """Return a deal, if there is one."""
        return self._deals.get(key)

    async def changed(self, since: datetime, until: datetime) -> list[Deal]:
        """Return the deals that were opened or had a posting in a time range."""
        return [
            deal
            for deal in self._deals.values()
            if any(since <= at < until for at in (deal.opened, *(posting.at for posting in deal.postings)))
        ]

    def _deal(self, key: str) -> Deal:
        if key not in self._deals:
            raise Rejected(f"{key} is unknown")
        return self._deals[key]

    def _made(self, deal: Deal, key: str, cents: int) -> Posting | None:
        for posting in deal.postings:
            if posting.key == key:
                if posting.cents != cents:
                    raise Rejected(f"{key} was used for {posting.cents}")
                return posting
        return None

    def _post(self, deal: Deal, key: str, cents: int) -> Posting:
        deal.postings.append(Posting(self._id("posting"), key, cents, datetime.now(UTC)))
        return deal.postings[-1]

    def _answer(self, answer: Answer) -> Answer:
        if self._loses:
            self._loses = False
            raise ConnectionError("the bank closed the connection")
        return answer

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"
