"""The operator over many finished Orders, and without its API server for a minute."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from shop import Shop, condition, ended, eventually, manifest, step

from line_between import line_to
from orderfleet.operator.cache import Key
from orderfleet.operator.kubernetes import Kubernetes, Write
from orderfleet.operator.main import login

FINISHED = 2000
AWAY = 60.0
"""Seconds."""


@pytest.mark.timeout(300)
async def test_two_thousand_finished_orders_cost_a_start_nothing(shop: Shop, workers: Any) -> None:
    name = shop.name()
    async with shop.operator():
        await shop.apply(manifest(name, approved=True))
        done = await shop.until(name, ended)
    alone = await _seconds_to_take_a_new_order(shop)
    await _file(shop, done, FINISHED - 1)
    crowded = await _seconds_to_take_a_new_order(shop)
    print(f"\nfrom the operator's start to a new Order in review: {crowded / alone:.2f} times as long over {FINISHED}")
    assert len((await shop.kubectl("get", "ofo", "-l", "orderfleet.dev/ended", "-o", "name")).split()) == FINISHED
    assert not {key.name for key, _write in shop.writes if key.name.startswith("finished-")}
    assert crowded < 3 * alone + 1


async def _seconds_to_take_a_new_order(shop: Shop) -> float:
    # The quickest of three: a machine may be busy for a while.
    return min([await _one_start(shop) for _ in range(3)])


async def _one_start(shop: Shop) -> float:
    name = shop.name()
    await shop.apply(manifest(name))
    began = time.monotonic()
    async with shop.operator() as operator:
        await eventually(lambda: [key.name for key in operator.cache] == [name])
        await shop.until(name, lambda order: step(order) == "manual_review")
        took = time.monotonic() - began
        await shop.patch(name, cancel=True)
        await shop.until(name, lambda order: step(order) == "canceled")
        await shop.kubectl("delete", "ofo", name)
    return took


async def _file(shop: Shop, example: dict[str, Any], count: int) -> None:
    """Create Orders that have ended as the example did, its status and label included."""
    namespace = shop.cluster.namespace
    path = f"/apis/orderfleet.dev/v1alpha1/namespaces/{namespace}/orders"
    metadata = {"labels": example["metadata"]["labels"], "namespace": namespace}

    async def one(number: int) -> None:
        name = f"finished-{number}"
        body = {**manifest(name, approved=True), "metadata": {**metadata, "name": name}}
        made = await kubernetes._call("POST", path, body)
        status = {"status": example["status"]}
        await kubernetes.patch(Key(namespace, name), Write.STATUS, status, made["metadata"]["resourceVersion"])

    async with Kubernetes(login, connections=20) as kubernetes:
        for begin in range(0, count, 100):
            await asyncio.gather(*(one(number) for number in range(begin, min(begin + 100, count))))


@pytest.mark.timeout(300)
async def test_a_minute_without_the_api_server_loses_nothing(
    shop: Shop, workers: Any, kubernetes: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(kubernetes.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    async with line_to("127.0.0.1", urlsplit(cluster["server"]).port or 443) as api:
        cluster["server"] = f"https://127.0.0.1:{api.port}"
        through = tmp_path / "kubeconfig"
        through.write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(through))
        before = [shop.name() for _ in range(10)]
        meanwhile = [shop.name() for _ in range(10)]
        deleted = shop.name()
        async with shop.operator():
            await shop.apply(*(manifest(name) for name in (*before, deleted)))
            for name in (*before, deleted):
                await shop.until(name, lambda order: step(order) == "manual_review")
            await api.cut()
            # kubectl has a line of its own: people and orders go on while the operator is cut off.
            for number, name in enumerate(before):
                await (workers.client.approve(name) if number % 2 else shop.patch(name, approved=True))
            await shop.apply(*(manifest(name, approved=True) for name in meanwhile))
            await shop.delete(deleted)
            await asyncio.sleep(AWAY)
            await api.mend()
            for name in (*before, *meanwhile):
                done = await shop.until(name, ended, seconds=60)
                assert condition(done, "Ready") == ("True", "Shipped")
            await shop.until_gone(deleted, seconds=60)
    assert (await workers.handle(deleted).result()).canceled
    assert workers.provider.charges.total() == len(before) + len(meanwhile)
