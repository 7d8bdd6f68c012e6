"""`kubectl order`, run by kubectl."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.factories import order_manifest
from support.operator_env import ended, step
from support.scripted_providers import Gate


async def order(operator_env, *arguments: str) -> tuple[int, str, str]:
    """Run `kubectl order …` in the shop's namespace."""
    path = [str(operator_env.cluster.program.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    result = await asyncio.to_thread(
        subprocess.run,
        ["kubectl", "order", *arguments, "--namespace", operator_env.cluster.namespace],
        env={**os.environ, "PATH": os.pathsep.join(path), "KUBECONFIG": str(operator_env.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.slow
async def test_address_and_approval_then_watch_and_events(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        code, out, err = await order(operator_env, "address", name, "--street", "9 Plugin St")
        assert (code, err) == (0, "")
        assert out.startswith(f"order {name}: redirected; step manual_review")
        watching = asyncio.create_task(order(operator_env, "watch", name))
        code, out, err = await order(operator_env, "approve", name)
        assert (code, err) == (0, "")
        assert out.startswith(f"order {name}: approved")
        await operator_env.until(name, ended)
        code, out, err = await watching
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"step shipped, payment CHARGED, tracking track-ship-{name}"
    assert workers.carrier.parcels[f"ship-{name}"][0].address.street == "9 Plugin St"
    code, out, _ = await order(operator_env, "events", name)
    assert code == 0
    assert "Shipped" in out


@pytest.mark.slow
async def test_order_is_named_by_its_workflow_id_where_no_order_has_that_name(operator_env, workers):
    plain, other = operator_env.name(), operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(plain))
        await operator_env.apply(order_manifest(other, orderId=f"own-{other}"))
        await operator_env.apply(order_manifest(f"order-{other}"))
        for name in (plain, other, f"order-{other}"):
            await operator_env.until(name, lambda order: step(order) == "manual_review")
        for named, name in ((f"order-{plain}", plain), (f"order-own-{other}", other), (f"order-{other}",) * 2):
            code, out, err = await order(operator_env, "approve", named)
            assert (code, err) == (0, ""), named
            assert out.startswith(f"order {name}: approved"), named
    code, _, err = await order(operator_env, "approve", "order-unknown")
    assert code == 1
    assert "not found" in err


async def test_rejected_cancel_exits_with_cause(operator_env, workers):
    gate = Gate()
    workers.carrier.booking.after.append(gate)
    # This name can't be a workflow id, so the plugin responds before the booking attempt times out.
    name = operator_env.name("parcel")
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review={"mode": "auto"}))
        await gate.reached.wait()
        code, out, err = await order(operator_env, "cancel", name, "--reason", "too late")
        gate.opened.set()
    assert (code, out) == (4, ""), err
    assert err == f"order {name}: rejected: the package is already dispatched\n"


@pytest.mark.slow
async def test_errors_come_from_kubectl_and_wait_times_out(operator_env):
    code, _, err = await order(operator_env, "approve", "missing")
    assert code == 1
    assert "not found" in err
    code, _, err = await order(operator_env, "address", "missing")
    assert code == 2
    assert "--street" in err
    name = operator_env.name()
    await operator_env.apply(order_manifest(name))  # no operator runs
    code, out, _ = await order(operator_env, "approve", name, "--wait", "0.5")
    assert code == 5
    assert out == f"order {name}: spec changed; the order has not responded yet\n"


async def test_watch_of_a_deleted_order_ends(operator_env):
    """kubectl itself fails if the Order is removed between two watches."""
    name = operator_env.name()
    await operator_env.apply(order_manifest(name))
    watching = asyncio.create_task(order(operator_env, "watch", name))
    await operator_env.delete(name)
    code, out, err = await watching
    assert (code, out.splitlines()[-1:]) == (0, ["deleted"]) or (code == 1 and "not found" in err)
