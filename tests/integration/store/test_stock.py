"""Reservations, gates, commits, restocks, counts and adjustments of stock, one at a time."""

from __future__ import annotations

import asyncpg
import pytest

from orderfleet.domain.stock import (
    LevelCount,
    LostPieces,
    MovementKind,
    Reservation,
    StockFilter,
    StockOutcome,
    StockPlace,
)
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin
from support.stock_rows import expire, inconsistent, level, places, put_in, reservation, reserved_by

APPLIED, CONFLICT, OUTDATED = StockOutcome.APPLIED, StockOutcome.CONFLICT, StockOutcome.OUTDATED


@pytest.fixture
def stock(database: Database) -> PostgresStock:
    return PostgresStock(database)


@pytest.fixture
def admin(database: Database) -> StockAdmin:
    return StockAdmin(database)


async def reserve(stock: PostgresStock, request: Reservation) -> StockOutcome:
    return (await stock.reserve([request]))[0].outcome


async def count(admin: StockAdmin, location: str, on_hand: int) -> tuple[LostPieces, ...]:
    counted = [LevelCount(sku="tea", location=location, on_hand=on_hand)]
    return (await admin.count(counted, "stocktaking", "ann"))[1].lost


async def test_reserve_of_too_many_pieces_is_refused_as_a_whole_and_says_what_is_there(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=5, west=1)
    assert await reserve(stock, reservation("o-1", east=2)) is APPLIED
    [answer] = await stock.reserve([reservation("o-2", east=3, west=2)])
    assert answer.outcome is CONFLICT
    assert [(each.location, each.wanted, each.available) for each in answer.missing] == [("west", 2, 1)]
    assert await reserved_by(sql, "o-2") == {}
    [answer] = await stock.reserve([reservation("o-1", 2, east=6)])
    assert [(each.location, each.wanted, each.available) for each in answer.missing] == [("east", 6, 5)]
    assert await level(sql, "east") == (5, 2)


async def test_reserve_at_an_unknown_level_or_an_inactive_location_is_refused(
    stock: PostgresStock, admin: StockAdmin
) -> None:
    await put_in(admin, east=5)
    assert await reserve(stock, reservation("o-1", east=1)) is APPLIED
    assert await reserve(stock, reservation("o-2", nowhere=1)) is CONFLICT
    await admin.set_location("east", active=False)
    assert await reserve(stock, reservation("o-3", east=1)) is CONFLICT
    # It keeps what it has.
    assert await reserve(stock, reservation("o-1", east=1)) is APPLIED
    assert await stock.available(["tea"], "o-1") == []


async def test_several_reservations_of_one_call_are_decided_each_by_itself(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=3)
    requests = [reservation(f"o-{number}", east=qty) for number, qty in enumerate((2, 2, 1))]
    assert [answer.outcome for answer in await stock.reserve(requests)] == [APPLIED, CONFLICT, APPLIED]
    assert await level(sql, "east") == (3, 3)


async def test_higher_revision_replaces_and_an_earlier_or_different_one_is_refused(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=5, west=5)
    assert await reserve(stock, reservation("o-1", 1, east=2)) is APPLIED
    assert await reserve(stock, reservation("o-1", 3, east=1, west=3)) is APPLIED
    assert await reserve(stock, reservation("o-1", 3, east=1, west=3)) is APPLIED
    assert await reserve(stock, reservation("o-1", 3, east=1)) is OUTDATED
    assert await reserve(stock, reservation("o-1", 2, east=5)) is OUTDATED
    assert await reserved_by(sql, "o-1") == {"east": (1, 0, "held"), "west": (3, 0, "held")}
    assert (await level(sql, "east"), await level(sql, "west")) == ((5, 1), (5, 3))


async def test_release_frees_everything_and_an_earlier_reserve_that_arrives_late_is_refused(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=5)
    late = reservation("o-1", 1, east=2)
    assert await reserve(stock, late) is APPLIED
    for _ in range(2):
        assert await reserve(stock, Reservation(owner="o-1")) is APPLIED
    assert await reserve(stock, late) is OUTDATED
    assert await reserve(stock, late.model_copy(update={"confirm": True})) is OUTDATED
    assert (await level(sql, "east"), await reserved_by(sql, "o-1")) == ((5, 0), {})


async def test_expired_reservation_is_free_at_once_and_its_row_goes_with_the_next_one_or_the_maintenance(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=2)
    await reserve(stock, reservation("o-1", east=1))
    await reserve(stock, reservation("o-2", east=1))
    await expire(sql, ["o-1", "o-2"])
    assert [each.available for each in await stock.available(["tea"])] == [2]
    [found], _ = await admin.levels(StockFilter())
    assert (found.on_hand, found.reserved, found.available) == (2, 0, 2)
    assert await level(sql, "east") == (2, 2)
    assert await reserve(stock, reservation("o-3", east=2)) is APPLIED
    assert await level(sql, "east") == (2, 2)
    assert await reserved_by(sql, "o-1") == {}
    await expire(sql, ["o-3"])
    assert (await stock.remove_expired(), await stock.remove_expired()) == (1, 0)
    assert await level(sql, "east") == (2, 0)


async def test_same_revision_renews_and_reserves_again_what_expired(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=2)
    request = reservation("o-1", east=2)
    await reserve(stock, request)
    ends = "select expires_at from stock_reservations where owner = 'o-1'"
    before = await sql.fetchval(ends)
    assert await reserve(stock, request) is APPLIED
    assert await sql.fetchval(ends) > before
    assert await reserve(stock, request.model_copy(update={"seconds": 1})) is APPLIED
    assert await sql.fetchval(ends) > before, "a shorter renewal must not shorten it"
    await expire(sql, ["o-1"])
    await stock.remove_expired()
    assert await reserve(stock, request) is APPLIED
    await expire(sql, ["o-1"])
    await reserve(stock, reservation("o-2", east=1))
    [answer] = await stock.reserve([request])
    assert [(each.wanted, each.available) for each in answer.missing] == [(2, 1)]


async def test_confirmed_reservation_does_not_expire_and_is_never_held_again(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=3)
    held, confirmed = reservation("o-1", east=2), reservation("o-1", east=2, confirm=True)
    assert await reserve(stock, held) is APPLIED
    assert await reserve(stock, confirmed) is APPLIED
    assert await reserve(stock, held) is APPLIED
    assert await reserved_by(sql, "o-1") == {"east": (2, 0, "confirmed")}
    assert await reserve(stock, reservation("o-1", 2, east=3)) is APPLIED
    assert await reserved_by(sql, "o-1") == {"east": (3, 0, "confirmed")}
    # Checked like a reserve: nothing was held before.
    assert await reserve(stock, reservation("o-2", east=1, confirm=True)) is CONFLICT


async def test_commit_takes_reserved_pieces_once_and_stays_in_later_revisions(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=5)
    request = reservation("o-1", east=3, confirm=True)
    await reserve(stock, request)
    for pieces in (places(east=2), places(east=1) * 2):
        assert (await stock.commit("o-1", "ship-o-1:1", pieces)).outcome is APPLIED
    other = await stock.commit("o-1", "ship-o-1:1", places(east=1))
    assert other.outcome is StockOutcome.KEY_CONFLICT
    assert (await level(sql, "east"), await reserved_by(sql, "o-1")) == ((3, 1), {"east": (3, 2, "confirmed")})
    assert await reserve(stock, request) is APPLIED
    assert await level(sql, "east") == (3, 1)
    too_many = await stock.commit("o-1", "ship-o-1:2", places(east=2))
    assert too_many.outcome is CONFLICT
    assert [(each.line, each.wanted, each.available) for each in too_many.missing] == [("1", 2, 1)]
    assert await reserve(stock, Reservation(owner="o-1", revision=2)) is APPLIED
    assert (await level(sql, "east"), await reserved_by(sql, "o-1")) == ((3, 0), {"east": (2, 2, "committed")})
    # The declared number counts the two that were dispatched.
    assert await reserve(stock, reservation("o-1", 3, east=4)) is APPLIED
    assert await level(sql, "east") == (3, 2)
    await expire(sql, ["o-1"])
    await stock.remove_expired()
    assert (await level(sql, "east"), await reserved_by(sql, "o-1")) == ((3, 0), {"east": (2, 2, "committed")})
    assert await inconsistent(sql) == []


async def test_restock_returns_pieces_once_under_its_key(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=2)
    await reserve(stock, reservation("o-1", east=2, confirm=True))
    await stock.commit("o-1", "ship-o-1:1", places(east=2))
    for _ in range(2):
        back = await stock.restock("o-1", "void-o-1:1", places(east=2), "dispatch canceled")
        assert back.outcome is APPLIED
    assert (await stock.restock("o-1", "void-o-1:1", places(east=1), "")).outcome is StockOutcome.KEY_CONFLICT
    assert (await stock.restock("o-1", "k", places(moon=1), "")).outcome is StockOutcome.UNKNOWN_LOCATION
    assert await level(sql, "east") == (2, 0)
    found, more = await admin.movements(StockFilter(owner="o-1"))
    assert more is None
    assert [(each.kind, each.qty, each.on_hand, each.reason, each.actor) for each in found] == [
        (MovementKind.RESTOCKED, 2, 2, "dispatch canceled", "order"),
        (MovementKind.COMMITTED, -2, 0, "", "order"),
    ]


async def test_count_below_reserved_takes_the_youngest_held_first_then_the_youngest_confirmed_before_its_gate(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=10)
    for owner, confirm in (("old", True), ("held-1", False), ("gate", True), ("young", True), ("held-2", False)):
        assert await reserve(stock, reservation(owner, east=2, confirm=confirm)) is APPLIED
    assert await stock.pass_gate("gate", places(east=2))

    async def lost(on_hand: int) -> list[tuple[str, int, str]]:
        return [(each.owner, each.qty, each.state) for each in await count(admin, "east", on_hand)]

    assert await lost(9) == [("held-2", 1, "held")]
    assert await lost(6) == [("held-1", 2, "held"), ("held-2", 1, "held")]
    assert await lost(3) == [("old", 1, "confirmed"), ("young", 2, "confirmed")]
    assert await inconsistent(sql) == []
    # Pieces past their gate stay: the level is short, and no intent takes more of it.
    assert await lost(1) == [("old", 1, "confirmed")]
    assert await level(sql, "east") == (1, 2)
    assert await reserve(stock, reservation("late", east=1)) is CONFLICT
    assert not await stock.pass_gate("young", places(east=2))
    # What was lost is reserved again by the same revision once it is there.
    assert await count(admin, "east", 4) == ()
    assert await reserve(stock, reservation("young", east=2, confirm=True)) is APPLIED
    assert (await stock.commit("gate", "ship-gate:1", places(east=2))).outcome is APPLIED
    assert await level(sql, "east") == (2, 2)


async def test_gate_is_passed_only_with_all_pieces_confirmed_and_can_be_taken_back(
    stock: PostgresStock, admin: StockAdmin
) -> None:
    await put_in(admin, east=2)
    await reserve(stock, reservation("o-1", east=2))
    assert not await stock.pass_gate("o-1", places(east=2))
    await reserve(stock, reservation("o-1", east=2, confirm=True))
    assert not await stock.pass_gate("o-1", places(east=3))
    assert await stock.pass_gate("o-1", places(east=2))
    assert await stock.pass_gate("o-1", places(east=2), passed=False)
    assert [each.qty for each in await count(admin, "east", 1)] == [1]


async def test_count_records_only_what_differs_and_nothing_if_a_location_is_unknown(
    admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=2, west=0)
    counts = [LevelCount(sku="tea", location=location, on_hand=3) for location in ("east", "west", "moon")]
    outcome, _, unknown = await admin.count(counts, "stocktaking", "ann")
    assert (outcome, unknown) == (StockOutcome.UNKNOWN_LOCATION, ("moon",))
    counts[2] = LevelCount(sku="cup", location="east", on_hand=1)
    for changed, created in ((3, 1), (0, 0)):
        outcome, result, _ = await admin.count(counts, "stocktaking", "ann")
        assert (outcome, result.changed, result.created) == (APPLIED, changed, created)
    found, _ = await admin.movements(StockFilter(sku="tea"))
    assert [(each.location, each.qty, each.on_hand, each.actor) for each in found] == [
        ("west", 3, 3, "ann"),
        ("east", 1, 3, "ann"),
        ("east", 2, 2, "test"),
    ]
    assert await level(sql, "east") == (3, 0)


async def test_adjust_below_what_is_reserved_is_refused_and_applied_once_under_its_key(
    stock: PostgresStock, admin: StockAdmin, sql: asyncpg.Connection
) -> None:
    await put_in(admin, east=5)
    await reserve(stock, reservation("o-1", east=3))

    async def adjust(pieces: int, key: str | None = None, location: str = "east") -> tuple[StockOutcome, int, int]:
        outcome, after = await admin.adjust("tea", location, pieces, reason="broken", actor="ann", key=key)
        return outcome, after.on_hand, after.reserved

    assert await adjust(-3) == (CONFLICT, 5, 3)
    for _ in range(2):
        assert await adjust(-2, "a-1") == (APPLIED, 3, 3)
    assert (await adjust(2, "a-1"))[0] is StockOutcome.KEY_CONFLICT
    assert (await adjust(1, location="moon"))[0] is StockOutcome.UNKNOWN_LOCATION
    await admin.set_location("west")
    assert await adjust(-1, location="west") == (CONFLICT, 0, 0)
    assert await adjust(4, location="west") == (APPLIED, 4, 0)
    assert await inconsistent(sql) == []


async def test_movements_are_append_only(admin: StockAdmin, sql: asyncpg.Connection) -> None:
    await put_in(admin, east=1)
    for statement in ("update stock_movements set qty = 2", "delete from stock_movements", "truncate stock_movements"):
        with pytest.raises(asyncpg.RestrictViolationError, match="stock_movements is append-only"):
            await sql.execute(statement)


async def test_pages_of_levels_and_movements_are_complete_with_every_filter(
    admin: StockAdmin, stock: PostgresStock
) -> None:
    for sku in ("cup", "tea", "ö/ %"):
        await put_in(admin, sku, east=2, north=1, west=3)
    lines = (StockPlace(line="1", sku="tea", location="east", qty=1),)
    await stock.reserve([Reservation(owner="o-1", revision=1, lines=lines, confirm=True)])
    await stock.commit("o-1", "k", lines)

    async def levels(**given: str) -> list[tuple[str, str]]:
        found, after = [], None
        while True:
            page, after = await admin.levels(StockFilter(**given), after=after, limit=2)
            found += [(each.sku, each.location) for each in page]
            if after is None:
                return found

    async def movements(**given: str) -> list[int]:
        found, before = [], None
        while True:
            page, before = await admin.movements(StockFilter(**given), before=before, limit=2)
            found += [each.id for each in page]
            if before is None:
                return found

    everything = [(sku, location) for sku in ("cup", "tea", "ö/ %") for location in ("east", "north", "west")]
    assert await levels() == everything
    assert await levels(location="north") == [(sku, "north") for sku in ("cup", "tea", "ö/ %")]
    assert await levels(sku="tea") == everything[3:6]
    assert await levels(sku="tea", location="west") == [("tea", "west")]
    every = await movements()
    assert every == sorted(every, reverse=True)
    assert len(every) == 10
    assert len(await movements(sku="tea")) == 4
    assert len(await movements(location="east")) == 4
    assert len(await movements(sku="tea", location="east")) == 2
    assert await movements(owner="o-1") == every[:1]
    assert await movements(owner="o-1", sku="cup") == []
