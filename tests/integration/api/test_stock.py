"""`/stock`: what callers see and change, with the real database."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from orderfleet.api.access import Access, Caller, Role, Unauthenticated
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from support.stock_rows import reservation


class Tokens:
    """The token is the name of the caller, and its role the part before the dash."""

    async def authenticate(self, token: str) -> Caller:
        role, dash, _ = token.partition("-")
        if not dash:
            raise Unauthenticated("unknown")
        return Caller(token, frozenset({Role(role)}))


def count(location="east", on_hand=5, sku="tea"):
    return {"counts": [{"sku": sku, "location": location, "on_hand": on_hand}], "reason": "stocktaking"}


@pytest.fixture
async def caller(api):
    async with api() as caller:
        yield caller


@pytest.fixture
async def stock(postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        yield PostgresStock(database)


@pytest.fixture
async def sql_of_stock(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_location_is_created_changed_and_listed_by_priority(caller):
    assert (await caller.put("/stock/locations/west")).json() == {
        "location": "west",
        "name": "",
        "priority": 100,
        "active": True,
    }
    await caller.put("/stock/locations/east", json={"name": "East", "priority": 1})
    changed = await caller.put("/stock/locations/west", json={"priority": 0, "active": False})
    assert changed.status_code == 200
    listed = (await caller.get("/stock/locations")).json()["locations"]
    assert [(each["location"], each["priority"], each["active"]) for each in listed] == [
        ("west", 0, False),
        ("east", 1, True),
    ]
    wrong = await caller.put("/stock/locations/a%20b", json={"priority": -1})
    assert (wrong.status_code, {each["field"] for each in wrong.json()["errors"]}) == (422, {"location", "priority"})


async def test_count_creates_changes_and_repeats_and_names_what_orders_lost(caller, stock):
    await caller.put("/stock/locations/east")
    for created, changed in ((1, 1), (0, 0)):
        answer = await caller.post("/stock/counts", json=count())
        assert answer.json() == {"created": created, "changed": changed, "lost": []}
    await stock.reserve([reservation("o-1", east=4)])
    answer = await caller.post("/stock/counts", json=count(on_hand=1))
    assert answer.json()["lost"] == [
        {"owner": "o-1", "line": "1", "sku": "tea", "location": "east", "qty": 3, "state": "held"}
    ]
    [level] = (await caller.get("/stock/levels")).json()["levels"]
    assert (level["on_hand"], level["reserved"], level["available"]) == (1, 1, 0)


async def test_wrong_count_changes_nothing_and_names_each_field(caller):
    await caller.put("/stock/locations/east")
    for body, field, part in (
        (count("moon"), "counts[0].location", "there is no location 'moon'; create it"),
        (count(on_hand=-1), "counts[0].on_hand", "greater than or equal to 0"),
        ({**count(), "counts": count()["counts"] * 2}, "counts[1]", "the level is in counts[0] too; count it once"),
        ({**count(), "reason": " "}, "reason", "is empty; fill it in"),
        (count("moon")["counts"][0] | {"qty": 1}, "sku", "is not known"),
    ):
        answer = await caller.post("/stock/counts", json=body)
        assert answer.status_code == 422, answer.text
        problem = next(each for each in answer.json()["errors"] if each["field"] == field)
        assert part in problem["message"]
    assert (await caller.get("/stock/levels")).json() == {"levels": [], "next": None}


async def test_adjustment_is_made_once_under_its_key_and_refused_below_what_is_reserved(caller, stock):
    await caller.put("/stock/locations/east")
    await caller.post("/stock/counts", json=count())
    await stock.reserve([reservation("o-1", east=3)])
    body = {"sku": "tea", "location": "east", "qty": -1, "reason": "broken"}
    for _ in range(2):
        answer = await caller.post("/stock/adjustments", json=body, headers={"Idempotency-Key": "k"})
        assert answer.json() == {"sku": "tea", "location": "east", "on_hand": 4, "reserved": 3}
    other = await caller.post("/stock/adjustments", json={**body, "qty": 2}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:orderfleet:problem:adjustment-id-conflict")
    refused = await caller.post("/stock/adjustments", json={**body, "qty": -2})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:orderfleet:problem:not-in-stock")
    assert "4 pieces of 'tea' are on hand at 'east' and 3 of them reserved" in refused.json()["detail"]
    unknown = await caller.post("/stock/adjustments", json={**body, "location": "moon"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "location")


async def test_pages_of_levels_and_movements_follow_each_other(caller):
    for location in ("east", "west"):
        await caller.put(f"/stock/locations/{location}")
        for sku in ("cup", "tea"):
            await caller.post("/stock/counts", json=count(location, 2, sku))

    async def read(name, key, **query):
        found, cursor = [], None
        while True:
            given = {**query, "limit": 3} | ({"cursor": cursor} if cursor else {})
            answer = (await caller.get(f"/stock/{name}", params=given)).json()
            found += [each[key] for each in answer[name]]
            cursor = answer["next"]
            if cursor is None:
                return found

    assert await read("levels", "sku") == ["cup", "cup", "tea", "tea"]
    assert await read("levels", "location", sku="tea") == ["east", "west"]
    every = await read("movements", "id")
    assert len(every) == 4
    assert every == sorted(every, reverse=True)
    assert await read("movements", "location", sku="cup", location="west") == ["west"]
    assert await read("movements", "id", owner="o-1") == []
    wrong = await caller.get("/stock/levels", params={"cursor": "x"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "cursor")


async def test_reading_needs_the_role_read_and_a_change_operate_and_its_caller_is_recorded(
    api, sql_of_stock: asyncpg.Connection
):
    async with api(access=Access(Tokens())) as caller:

        async def ask(method, path, token, body=None):
            answer = await caller.request(method, path, headers={"Authorization": f"Bearer {token}"}, json=body)
            return answer.status_code

        changes = (
            ("PUT", "/stock/locations/east", {}),
            ("POST", "/stock/counts", count()),
            ("POST", "/stock/adjustments", {"sku": "tea", "location": "east", "qty": 1, "reason": "found"}),
        )
        for method, path, body in changes:
            assert await ask(method, path, "read-ann", body) == 403
            assert await ask(method, path, "operate-bob", body) == 200
        for path in ("/stock/locations", "/stock/levels", "/stock/movements"):
            assert await ask("GET", path, "carrier-x") == 403
            assert await ask("GET", path, "read-ann") == 200
    rows = await sql_of_stock.fetch("select kind, qty, reason, actor from stock_movements order by id")
    assert [tuple(row) for row in rows] == [
        ("counted", 5, "stocktaking", "operate-bob"),
        ("adjusted", 1, "found", "operate-bob"),
    ]
