"""The chart grants the operator and the uninstall hook exactly the rights that they use.

The used rights come from the audit log of an own API server: with rights in all namespaces an operator would
reconcile the Orders of other tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.operator.audit import AuditedRequests, Right, flags, rights_in
from orderfleet.operator.cache import Key
from orderfleet.operator.kubernetes import Write
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths
from support.backing import Backing, Kubernetes
from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import OperatorTestEnv, condition, ended, step

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RELEASE = "shop"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Backing]:
    """An API server that logs the requests of service accounts."""
    folder = tmp_path_factory.mktemp("audited")
    folder.chmod(0o755)
    own = Backing(folder, flags(folder))
    try:
        yield own
    finally:
        own.stop()


@pytest.fixture
def kubernetes(server) -> Kubernetes:
    return server.kubernetes()


def rendered(namespace: str, template: str, namespaces: list[str]) -> list[dict[str, Any]]:
    """Objects of a template of the chart."""
    choices = ("--values", "tests/charts/chosen.yaml", "--set-json", f"operator.namespaces={json.dumps(namespaces)}")
    command = [provide(["helm"])["helm"], "template", RELEASE, "charts/orderfleet", "--namespace", namespace, *choices]
    result = subprocess.run(
        [*command, "--show-only", f"templates/{template}.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=paths.checkout(),
    )
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.safe_load_all(result.stdout) if each and each["kind"] != "Job"]


def granted(objects: list[dict[str, Any]], account: str) -> set[Right]:
    """Every right that the objects grant an account."""
    rules = {each["metadata"]["name"]: each["rules"] for each in objects if each["kind"].endswith("Role")}
    bindings = [each for each in objects if each["kind"].endswith("RoleBinding")]
    bound = [each["roleRef"]["name"] for each in bindings if each["subjects"][0]["name"] == account]
    assert bound, f"no role is bound to {account}"
    return {right for name in bound for right in rights_in(rules[name])}


def log_in(cluster: Kubernetes, account: str, path: Path) -> None:
    """Write a kubeconfig with the account's token."""
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", account).strip()}
    path.write_text(json.dumps(config))


class RacingShop(OperatorTestEnv):
    """Changes an Order right before the operator's first status write."""

    raced_order = ""

    def _wrote(self, key: Key, write: Write) -> None:
        super()._wrote(key, write)
        if key.name == self.raced_order and write is Write.STATUS:
            self.raced_order = ""
            self.cluster.kubectl("annotate", "ofo", key.name, "example.com/hasty=yes")


async def run_full_lifecycles(operator_env: RacingShop) -> None:
    """Ship, redirect, cancel, delete and orphan Orders, with a conflict and a restart; then delete the namespace."""
    reviewed, canceled, deleted, orphan, raced, second = (
        operator_env.name(what) for what in ("reviewed", "canceled", "deleted", "orphan", "hasty", "second")
    )
    operator_env.raced_order = raced
    async with operator_env.operator():
        await operator_env.apply(
            *(order_manifest(name) for name in (reviewed, canceled, deleted)),
            order_manifest(orphan, deletionPolicy="Orphan"),
            order_manifest(raced, approved=True),
        )
        for name in (reviewed, canceled, deleted, orphan):
            await operator_env.until(name, lambda order: step(order) == "manual_review", seconds=60)
        await operator_env.apply(order_manifest(second, orderId=reviewed))
        await operator_env.until(
            second, lambda order: condition(order, "Accepted") == ("False", "Conflict"), seconds=60
        )
        for name in (deleted, orphan, second):
            await operator_env.delete(name)
            await operator_env.until_gone(name, seconds=60)
        await operator_env.until(raced, ended, seconds=60)
    await operator_env.patch(reviewed, address={**ADDRESS_JSON, "street": "9 Side St"}, approved=True)
    await operator_env.patch(canceled, cancel=True)
    async with operator_env.operator():
        done = [await operator_env.until(name, ended, seconds=60) for name in (reviewed, canceled)]
    assert [step(order) for order in done] == ["shipped", "canceled"]
    assert operator_env.raced_order == ""
    last = operator_env.name("last")
    async with operator_env.operator(operator_own_namespace=operator_env.cluster.namespace):
        await operator_env.apply(order_manifest(last))
        await operator_env.until(last, lambda order: step(order) == "manual_review", seconds=60)
        await operator_env.kubectl("delete", "namespace", operator_env.cluster.namespace, "--wait=false")
    assert await operator_env.get(last) is None


@pytest.mark.parametrize("namespaces", ["all", "its own"])
async def test_operator_uses_exactly_its_rights(
    server, kubernetes, temporal_address, postgres_url, task_queues, workers, tmp_path, monkeypatch, namespaces
):
    namespace = kubernetes.namespace
    watched = [namespace] if namespaces == "its own" else []
    objects = rendered(namespace, "access", watched)
    account = f"{RELEASE}-orderfleet-operator"
    kubernetes.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    log_in(kubernetes, account, tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with RacingShop(kubernetes, temporal_address, postgres_url, task_queues) as operator_env:
        operator_env.settings = operator_env.settings.model_copy(update={"operator_namespaces": ",".join(watched)})
        await run_full_lifecycles(operator_env)
    audited = AuditedRequests(server.folder, f"{namespace}:{account}")
    assert audited.denied() == []
    assert audited.rights() == granted(objects, account)


@pytest.mark.parametrize("namespaces", ["all", "its own"])
async def test_uninstall_hook_uses_exactly_its_rights(server, kubernetes, tmp_path, namespaces):
    namespace = kubernetes.namespace
    watched = [namespace] if namespaces == "its own" else []
    objects = rendered(namespace, "release", watched)
    account = f"{RELEASE}-orderfleet-release"
    order = order_manifest("held")
    order["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    kubernetes.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects, order]})
    )
    kubernetes.kubectl("create", "deployment", f"{RELEASE}-orderfleet-operator", "--image=none")
    log_in(kubernetes, account, tmp_path / "kubeconfig")
    result = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "orderfleet", "remove-finalizers"),
            f"--stop-deployment={namespace}/{RELEASE}-orderfleet-operator",
        ],
        env={
            **os.environ,
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
            "ORDERFLEET_OPERATOR_NAMESPACES": ",".join(watched),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stdout) == (0, "finalizer removed from 1 Orders\n"), result.stderr
    audited = AuditedRequests(server.folder, f"{namespace}:{account}")
    assert audited.denied() == []
    assert audited.rights() == granted(objects, account)
