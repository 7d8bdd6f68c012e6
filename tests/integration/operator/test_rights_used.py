"""The chart gives the operator, and the hook that lets Orders go, exactly the rights they were seen to use.

What was used is read from the audit log of an API server of the tests' own: with the rights of all
namespaces an operator would take up the Orders of every other test.
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
from audit import Asked, Right, flags, rights_in
from shop import ADDRESS, Shop, condition, ended, manifest, step

from backing import Backing, Kubernetes
from orderfleet.operator.cache import Key
from orderfleet.operator.kubernetes import Write
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RELEASE = "shop"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Backing]:
    """An API server that writes down what service accounts do."""
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
    """Objects of a template of the product's chart."""
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


def given(objects: list[dict[str, Any]], account: str) -> set[Right]:
    """Every right that the objects give an account."""
    rules = {each["metadata"]["name"]: each["rules"] for each in objects if each["kind"].endswith("Role")}
    bindings = [each for each in objects if each["kind"].endswith("RoleBinding")]
    bound = [each["roleRef"]["name"] for each in bindings if each["subjects"][0]["name"] == account]
    assert bound, f"nothing is bound to {account}"
    return {right for name in bound for right in rights_in(rules[name])}


def log_in(cluster: Kubernetes, account: str, path: Path) -> None:
    """Write a kubeconfig that is the account's."""
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", account).strip()}
    path.write_text(json.dumps(config))


class Hasty(Shop):
    """A shop where somebody changes an Order in the very moment before the operator's first status."""

    hurried = ""

    def _wrote(self, key: Key, write: Write) -> None:
        super()._wrote(key, write)
        if key.name == self.hurried and write is Write.STATUS:
            self.hurried = ""
            self.cluster.kubectl("annotate", "ofo", key.name, "example.com/hasty=yes")


async def whole_lives(shop: Hasty) -> None:
    """Orders that ship, are moved, canceled, deleted, left alone and in conflict, over two lives of the operator.

    Then their namespace is deleted.
    """
    reviewed, canceled, deleted, orphan, hasty, second = (
        shop.name(what) for what in ("reviewed", "canceled", "deleted", "orphan", "hasty", "second")
    )
    shop.hurried = hasty
    async with shop.operator():
        await shop.apply(
            *(manifest(name) for name in (reviewed, canceled, deleted)),
            manifest(orphan, deletionPolicy="Orphan"),
            manifest(hasty, approved=True),
        )
        for name in (reviewed, canceled, deleted, orphan):
            await shop.until(name, lambda order: step(order) == "manual_review", seconds=60)
        await shop.apply(manifest(second, orderId=reviewed))
        await shop.until(second, lambda order: condition(order, "Accepted") == ("False", "Conflict"), seconds=60)
        for name in (deleted, orphan, second):
            await shop.delete(name)
            await shop.until_gone(name, seconds=60)
        await shop.until(hasty, ended, seconds=60)
    await shop.patch(reviewed, address={**ADDRESS, "street": "9 Side St"}, approved=True)
    await shop.patch(canceled, cancel=True)
    async with shop.operator():
        done = [await shop.until(name, ended, seconds=60) for name in (reviewed, canceled)]
    assert [step(order) for order in done] == ["shipped", "canceled"]
    assert shop.hurried == ""
    last = shop.name("last")
    async with shop.operator(operator_own_namespace=shop.cluster.namespace):
        await shop.apply(manifest(last))
        await shop.until(last, lambda order: step(order) == "manual_review", seconds=60)
        await shop.kubectl("delete", "namespace", shop.cluster.namespace, "--wait=false")
    assert await shop.get(last) is None


@pytest.mark.parametrize("namespaces", ["all", "its own"])
async def test_the_operator_uses_every_right_it_has_and_no_other(
    server, kubernetes, temporal_address, postgres_url, task_queues, workers, tmp_path, monkeypatch, namespaces
):
    namespace = kubernetes.namespace
    watched = [namespace] if namespaces == "its own" else []
    objects = rendered(namespace, "access", watched)
    account = f"{RELEASE}-orderfleet-operator"
    kubernetes.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    log_in(kubernetes, account, tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with Hasty(kubernetes, temporal_address, postgres_url, task_queues) as shop:
        shop.settings = shop.settings.model_copy(update={"operator_namespaces": ",".join(watched)})
        await whole_lives(shop)
    asked = Asked(server.folder, f"{namespace}:{account}")
    assert asked.refused() == []
    assert asked.rights() == given(objects, account)


@pytest.mark.parametrize("namespaces", ["all", "its own"])
async def test_the_hook_of_an_uninstall_uses_every_right_it_has_and_no_other(server, kubernetes, tmp_path, namespaces):
    namespace = kubernetes.namespace
    watched = [namespace] if namespaces == "its own" else []
    objects = rendered(namespace, "release", watched)
    account = f"{RELEASE}-orderfleet-release"
    held = manifest("held")
    held["metadata"]["finalizers"] = ["orderfleet.dev/order"]
    kubernetes.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects, held]})
    )
    kubernetes.kubectl("create", "deployment", f"{RELEASE}-orderfleet-operator", "--image=none")
    log_in(kubernetes, account, tmp_path / "kubeconfig")
    said = await asyncio.to_thread(
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
    assert (said.returncode, said.stdout) == (0, "finalizer removed from 1 Orders\n"), said.stderr
    asked = Asked(server.folder, f"{namespace}:{account}")
    assert asked.refused() == []
    assert asked.rights() == given(objects, account)
