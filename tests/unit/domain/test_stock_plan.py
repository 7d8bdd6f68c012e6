"""The plan of an order's pieces: fewest parcels, then priority; compared with every choice of locations."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain import stock_plan
from orderfleet.domain.stock import AvailableStock
from orderfleet.domain.stock_plan import StockPlan, WantedLine, plan_places

SKUS, LOCATIONS = ("cup", "pot", "tea"), ("a", "b", "c", "d", "e")


def wanted(*pieces: tuple[str, int]) -> list[WantedLine]:
    return [WantedLine(line=str(number), sku=sku, qty=qty) for number, (sku, qty) in enumerate(pieces, start=1)]


def available(location: str, priority: int, **pieces: int) -> list[AvailableStock]:
    return [
        AvailableStock(sku=sku, location=location, priority=priority, available=count) for sku, count in pieces.items()
    ]


def chosen(plan: StockPlan) -> list[tuple[str, str, int]]:
    return [(each.location, each.line, each.qty) for each in plan.places]


def test_one_parcel_is_preferred_to_two_with_priority() -> None:
    stock = [*available("a", 1, tea=2), *available("b", 2, cup=1), *available("c", 9, tea=2, cup=1)]
    assert chosen(plan_places(wanted(("tea", 2), ("cup", 1)), stock)) == [("c", "1", 2), ("c", "2", 1)]


def test_priority_decides_between_plans_with_as_many_parcels() -> None:
    stock = [*available("c", 1, tea=2), *available("a", 2, tea=5), *available("b", 3, tea=5)]
    assert chosen(plan_places(wanted(("tea", 2)), stock)) == [("c", "1", 2)]
    assert chosen(plan_places(wanted(("tea", 3)), stock)) == [("a", "1", 3)]
    assert chosen(plan_places(wanted(("tea", 6)), stock)) == [("c", "1", 2), ("a", "1", 4)]


def test_what_is_missing_is_named_by_line_and_the_rest_is_planned() -> None:
    plan = plan_places(wanted(("tea", 3), ("tea", 2), ("pot", 1)), available("a", 1, tea=4, cup=9))
    assert chosen(plan) == [("a", "1", 3), ("a", "2", 1)]
    assert [(each.line, each.sku, each.qty) for each in plan.missing] == [("2", "tea", 1), ("3", "pot", 1)]


def test_empty_and_negative_stock_is_planned_nowhere() -> None:
    stock = [*available("a", 1, tea=0), *available("b", 2, tea=-3)]
    assert plan_places(wanted(("tea", 1)), stock).places == ()
    assert plan_places([], stock) == StockPlan(places=())


def test_many_locations_are_planned_without_comparing_every_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_plan, "MAX_CHOICES", 50)
    stock = [each for number in range(60) for each in available(f"l{number:02}", number, tea=1, cup=number % 3)]
    plan = plan_places(wanted(("tea", 20), ("cup", 5)), stock)
    assert plan.missing == ()
    assert len({each.location for each in plan.places}) == 20


@given(
    st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 6)), max_size=4),
    st.lists(st.tuples(st.sampled_from(LOCATIONS), st.sampled_from(SKUS), st.integers(0, 6)), max_size=12),
    st.permutations(range(len(LOCATIONS))),
)
def test_plan_uses_the_fewest_and_first_locations_and_loses_nothing(
    pieces: list[tuple[str, int]], found: list[tuple[str, str, int]], ranks: list[int]
) -> None:
    priority = dict(zip(LOCATIONS, ranks, strict=True))
    counts = {(location, sku): count for location, sku, count in found}
    stock = [
        AvailableStock(sku=sku, location=location, priority=priority[location], available=count)
        for (location, sku), count in counts.items()
    ]
    lines = wanted(*pieces)
    plan = plan_places(lines, stock)

    planned, by_line, needed = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for place in plan.places:
        planned[place.location, place.sku] += place.qty
        by_line[place.line] += place.qty
    by_line.update({each.line: each.qty for each in plan.missing})
    assert all(counts[level] >= qty for level, qty in planned.items())
    assert by_line == Counter({line.line: line.qty for line in lines})

    for line in lines:
        needed[line.sku] += line.qty

    def sent(locations: tuple[str, ...]) -> list[int]:
        return [min(needed[sku], sum(counts.get((location, sku), 0) for location in locations)) for sku in SKUS]

    best = sent(LOCATIONS)
    assert [sum(qty for (_, sku), qty in planned.items() if sku == each) for each in SKUS] == best
    ranked = sorted(LOCATIONS, key=priority.__getitem__)
    fewest = next(
        choice for size in range(len(ranked) + 1) for choice in combinations(ranked, size) if sent(choice) == best
    )
    assert {location for location, _ in planned} == set(fewest)
