"""Chooses the locations of an order's pieces: the fewest parcels, then the locations with priority.

Pure. What it chooses may be gone when it is reserved: the database decides, and then it is planned again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, islice
from math import comb
from typing import Final

from pydantic import Field

from orderfleet.domain.base import Contract
from orderfleet.domain.money import LineId
from orderfleet.domain.stock import MAX_PIECES, AvailableStock, StockPlace

MAX_CHOICES: Final = 20_000
"""Sets of locations that are compared; beyond, each next location is the one with the most pieces that are left."""

_Stock = Mapping[str, Mapping[str, int]]
"""Available pieces by location and SKU."""


class WantedLine(Contract):
    """Pieces of one line."""

    line: LineId
    sku: str
    qty: int = Field(ge=1, le=MAX_PIECES)


class MissingLine(Contract):
    """Pieces of a line that no location has."""

    line: LineId
    sku: str
    qty: int


class StockPlan(Contract):
    """Where the pieces of an order come from."""

    places: tuple[StockPlace, ...]
    """In the order of the locations' priority, then of the lines."""
    missing: tuple[MissingLine, ...] = ()


def plan_places(lines: Sequence[WantedLine], stock: Iterable[AvailableStock]) -> StockPlan:
    """Choose exact places for as many pieces as there are.

    Args:
        lines: what is wanted; several may have the same SKU, then the first ones get pieces first.
        stock: what is available by SKU and location; each at most once.

    Returns:
        The places, at as few locations as possible and among those at the ones with the lowest priority numbers, and
        what is missing.
    """
    wanted: Counter[str] = Counter()
    for line in lines:
        wanted[line.sku] += line.qty
    found: dict[str, dict[str, int]] = {}
    for each in sorted(stock, key=lambda each: (each.priority, each.location)):
        if each.available > 0 and each.sku in wanted:
            found.setdefault(each.location, {})[each.sku] = each.available
    total = _sum(found.values())
    possible = {sku: min(qty, total[sku]) for sku, qty in wanted.items() if total[sku]}
    return _allocate(lines, found, _fewest(possible, found))


def _sum(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _covers(locations: Iterable[str], wanted: Mapping[str, int], stock: _Stock) -> bool:
    total = _sum(stock[location] for location in locations)
    return all(total[sku] >= qty for sku, qty in wanted.items())


def _fewest(wanted: Mapping[str, int], stock: _Stock) -> tuple[str, ...]:
    """The fewest locations that have what is wanted, in the order of `stock`; of several sets the first one."""
    left = MAX_CHOICES
    for size in range(len(stock) + 1):
        for chosen in islice(combinations(stock, size), left):
            if _covers(chosen, wanted, stock):
                return chosen
        left -= comb(len(stock), size)
        if left <= 0:
            break
    return _greedy(wanted, stock)


def _greedy(wanted: Mapping[str, int], stock: _Stock) -> tuple[str, ...]:
    left, chosen = dict(wanted), set[str]()
    while any(left.values()):

        def gain(location: str) -> int:
            return sum(min(qty, left.get(sku, 0)) for sku, qty in stock[location].items())

        best = max((location for location in stock if location not in chosen), key=gain)
        for sku, qty in stock[best].items():
            left[sku] = max(0, left.get(sku, 0) - qty)
        chosen.add(best)
    for location in reversed([*stock]):
        if location in chosen and _covers(chosen - {location}, wanted, stock):
            chosen.remove(location)
    return tuple(location for location in stock if location in chosen)


def _allocate(lines: Sequence[WantedLine], stock: _Stock, chosen: Sequence[str]) -> StockPlan:
    left = [line.qty for line in lines]
    places = []
    for location in chosen:
        free = dict(stock[location])
        for number, line in enumerate(lines):
            if qty := min(left[number], free.get(line.sku, 0)):
                places.append(StockPlace(line=line.line, sku=line.sku, location=location, qty=qty))
                left[number] -= qty
                free[line.sku] -= qty
    missing = (MissingLine(line=line.line, sku=line.sku, qty=qty) for line, qty in zip(lines, left, strict=True) if qty)
    return StockPlan(places=tuple(places), missing=tuple(missing))
