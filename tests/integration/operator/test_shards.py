"""Operators that share the Orders of a namespace by labels: each Order is handled by one operator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually

NAME_AND_STEP = "custom-columns=NAME:.metadata.name,STEP:.status.step"
A, REST = "shard in (a)", "shard notin (a)"


def of_shard(shard: str, name: str, **spec: Any) -> dict[str, Any]:
    made = order_manifest(name, **spec)
    made["metadata"]["labels"] = {"shard": shard}
    return made


def in_review(order: dict[str, Any]) -> bool:
    return step(order) == "manual_review"


async def move(operator_env, name: str, shard: str) -> None:
    await operator_env.kubectl("label", "ofo", name, f"shard={shard}", "--overwrite")


def names(operator) -> set[str]:
    return {key.name for key in operator.cache}


@pytest.mark.slow
async def test_operators_handle_orders_by_shard_and_default_handles_the_rest(operator_env, workers):
    own, other, unlabelled = operator_env.name("own"), operator_env.name("other"), operator_env.name("unlabelled")
    async with operator_env.operator(operator_selector=A) as a, operator_env.operator(operator_selector=REST) as rest:
        received: set[str] = set()
        order_changed = a.order_changed
        a.order_changed = lambda body: (received.add(body["metadata"]["name"]), order_changed(body))
        await operator_env.apply(of_shard("a", own), of_shard("c", other), order_manifest(unlabelled))
        for name in (own, other, unlabelled):
            await operator_env.until(name, in_review)
        assert (names(a), names(rest)) == ({own}, {other, unlabelled})
        for name in (own, other, unlabelled):
            await operator_env.patch(name, approved=True)
            assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
        # The API server sent it no other Orders.
        assert received == {own}
    assert workers.provider.charges == {f"pay-{name}": 1 for name in (own, other, unlabelled)}


async def test_running_order_that_changes_its_shard_continues_with_other_operator(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator(operator_selector=A) as a, operator_env.operator(operator_selector=REST) as rest:
        await operator_env.apply(of_shard("a", name))
        before = await operator_env.until(name, in_review)
        await move(operator_env, name, "b")
        await eventually(lambda: (names(a), names(rest)) == (set(), {name}))
        await operator_env.patch(name, approved=True)
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")
    assert done["status"]["runId"] == before["status"]["runId"]
    assert (await operator_env.reasons(name)).count("Started") == 1
    assert workers.provider.charges == {f"pay-{name}": 1}


@pytest.mark.slow
async def test_order_that_changes_its_shard_repeatedly_is_shipped_once(operator_env, workers):
    orders = [operator_env.name() for _ in range(4)]
    async with operator_env.operator(operator_selector=A), operator_env.operator(operator_selector=REST):
        await operator_env.apply(*(of_shard("a", name, approved=True) for name in orders))
        for shard in ("b", "a", "b"):
            await asyncio.gather(*(move(operator_env, name, shard) for name in orders))
        for name in orders:
            assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
    assert workers.provider.charges == {f"pay-{name}": 1 for name in orders}
    for name in orders:
        assert (await operator_env.reasons(name)).count("Shipped") == 1


async def test_order_deleted_after_shard_change_is_canceled_and_removed(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator(operator_selector=A), operator_env.operator(operator_selector=REST):
        await operator_env.apply(of_shard("a", name))
        await operator_env.until(name, in_review)
        await move(operator_env, name, "b")
        await operator_env.delete(name)
        await operator_env.until_gone(name)
    assert (await asyncio.wait_for(workers.handle(name).result(), 60)).canceled


@pytest.mark.slow
async def test_operator_that_missed_shard_change_drops_order_at_next_write(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator(operator_selector=A) as stale, operator_env.operator(operator_selector=REST):
        await operator_env.apply(of_shard("a", name))
        await operator_env.until(name, in_review)
        stale.order_removed = lambda _body: None
        await move(operator_env, name, "b")
        await operator_env.patch(name, approved=True)
        await eventually(lambda: not names(stale))
        assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
    assert workers.provider.charges == {f"pay-{name}": 1}


@pytest.mark.slow
async def test_shard_without_operator_does_not_delay_others(operator_env, workers, processes):
    first, others, second = (
        operator_env.name("first"),
        [operator_env.name("other") for _ in range(2)],
        operator_env.name("second"),
    )
    a = await processes.operator(ORDERFLEET_OPERATOR_SELECTOR=A)
    rest = await processes.operator(ORDERFLEET_OPERATOR_SELECTOR=REST)
    await asyncio.gather(a.answers("/readyz", 200), rest.answers("/readyz", 200))
    await operator_env.apply(of_shard("a", first), order_manifest(others[0], approved=True))
    await operator_env.until(first, in_review)
    await operator_env.until(others[0], ended)
    a.process.kill()
    await a.ends()
    await operator_env.patch(first, approved=True)
    await operator_env.apply(of_shard("a", second, approved=True), of_shard("b", others[1], approved=True))
    assert condition(await operator_env.until(others[1], ended), "Ready") == ("True", "Shipped")
    waits = [await operator_env.get(name) for name in (first, second)]
    assert [step(order) for order in waits] == ["manual_review", None]
    # As documented: an Order without an operator has no step.
    listed = await operator_env.kubectl("get", "ofo", "-l", "!orderfleet.dev/ended", "-o", NAME_AND_STEP)
    assert [line.split()[0] for line in listed.splitlines() if line.endswith("<none>")] == [second]
    await processes.operator(ORDERFLEET_OPERATOR_SELECTOR=A)
    for name in (first, second):
        assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
    assert workers.provider.charges == {f"pay-{name}": 1 for name in (first, second, *others)}


@pytest.mark.slow
async def test_invalid_selector_ends_process_and_names_setting(processes):
    operator = await processes.operator(ORDERFLEET_OPERATOR_SELECTOR="shard in a")
    assert await operator.ends() == 2
    (said,) = operator.log.read_text().splitlines()
    assert "ORDERFLEET_OPERATOR_SELECTOR" in said
    assert "'shard in a' is not a label selector: write KEY" in said
