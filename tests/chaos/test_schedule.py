"""A seed is one storm: the same faults at the same orders, and every part in turn."""

from __future__ import annotations

from schedule import LINES, PARTS, Act, Side, Wrong, squalls, wishes


def test_the_seed_alone_decides() -> None:
    assert squalls(7, 100, 2000) == squalls(7, 100, 2000)
    assert wishes(7, 200) == wishes(7, 200)
    assert squalls(7, 100, 2000) != squalls(8, 100, 2000)
    assert wishes(7, 200) != wishes(8, 200)


def test_sixteen_faults_reach_every_part() -> None:
    found = [fault for squall in squalls(3, 16, 100) for fault in squall.faults]
    assert len(found) == 16
    assert {fault.at[0] for fault in found if len(fault.at) == 1} == set(PARTS)


def test_a_hundred_faults_are_of_every_kind_on_every_part_and_line() -> None:
    every = squalls(7, 100, 2000)
    found = [fault for squall in every for fault in squall.faults]
    assert {fault.at for fault in found} == {*((part,) for part in PARTS), *LINES}
    assert {fault.wrong for fault in found} == set(Wrong)
    for part in PARTS:
        assert {fault.wrong for fault in found if fault.at == (part,)} == {Wrong.KILLED, Wrong.FROZEN}
    assert max(len(squall.faults) for squall in every) > 1
    assert 0 < every[0].after_orders < every[-1].after_orders < 2000


def test_customers_do_everything_on_both_sides() -> None:
    every = wishes(7, 500)
    acts = {side: {act for wish in every if wish.side is side for _, act in wish.acts} for side in Side}
    assert acts[Side.HTTP] == set(Act) - {Act.DELETE}
    assert acts[Side.KUBERNETES] == set(Act) - {Act.CANCEL_PAYMENT}
    assert {wish.refused_by for wish in every} == {"provider", "carrier", None}
    assert any(wish.manual and not wish.acts for wish in every), "nobody reviews some"
