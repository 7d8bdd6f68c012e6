"""What an uninstall does first: no Order keeps a finalizer that nobody would take off."""

from __future__ import annotations

import json
import subprocess

import pytest
from shop import manifest
from typer.testing import CliRunner

from orderfleet.cli.remove_finalizers import app
from orderfleet.domain.names import FINALIZER
from orderfleet.operator.finalizers import release_orders, stop_operators
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.main import login

THEIRS = "example.com/theirs"


@pytest.fixture
async def api(kubernetes, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    async with Kubernetes(login, connections=4) as there:
        yield there


def held(cluster, name: str, *finalizers: str) -> str:
    order = manifest(name)
    order["metadata"]["finalizers"] = list(finalizers)
    cluster.kubectl("create", "-f", "-", input=json.dumps(order))
    return name


def finalizers(cluster, name: str) -> list[str]:
    return json.loads(cluster.kubectl("get", "ofo", name, "-o", "json"))["metadata"].get("finalizers", [])


async def test_every_order_is_let_go_and_finalizers_of_others_stay(api, kubernetes):
    names = [held(kubernetes, f"release-{i}", FINALIZER) for i in range(3)]
    shared = held(kubernetes, "release-shared", FINALIZER, THEIRS)
    held(kubernetes, "release-never")
    assert await release_orders(api, [kubernetes.namespace]) == 4
    assert [finalizers(kubernetes, name) for name in names] == [[], [], []]
    assert finalizers(kubernetes, shared) == [THEIRS]
    assert await release_orders(api, [kubernetes.namespace]) == 0


async def test_an_order_that_hangs_in_deletion_goes(api, kubernetes):
    held(kubernetes, "release-hangs", FINALIZER)
    kubernetes.kubectl("delete", "ofo", "release-hangs", "--wait=false")
    await release_orders(api, [kubernetes.namespace])
    kubernetes.kubectl("wait", "--for=delete", "ofo/release-hangs", "--timeout=50s")


async def test_more_orders_than_a_page_are_found(api, kubernetes, monkeypatch):
    for i in range(5):
        held(kubernetes, f"release-page-{i}", FINALIZER)
    page = api.page_of_orders
    monkeypatch.setattr(api, "page_of_orders", lambda namespace, after="": page(namespace, after, size=2))
    assert await release_orders(api, [kubernetes.namespace]) == 5


async def test_the_operator_is_stopped_before(api, kubernetes):
    names = ["operator", "eu-operator"]
    for name in names:
        kubernetes.kubectl("create", "deployment", name, "--image=none", "--replicas=1")
    deployments = [(kubernetes.namespace, name) for name in ("not-there", *names)]
    await stop_operators(api, deployments, "app in (operator,eu-operator)")
    for name in names:
        deployment = json.loads(kubernetes.kubectl("get", "deployment", name, "-o", "json"))
        assert deployment["spec"]["replicas"] == 0
    await stop_operators(api, deployments[:1], "app=operator")


def test_the_command_stops_the_operator_and_says_how_many(kubernetes, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.setenv("ORDERFLEET_OPERATOR_NAMESPACES", kubernetes.namespace)
    held(kubernetes, "release-command", FINALIZER)
    said = CliRunner().invoke(app, ["--stop-deployment", f"{kubernetes.namespace}/not-there"])
    assert (said.exit_code, said.output) == (0, "finalizer removed from 1 Orders\n")
    assert CliRunner().invoke(app, ["--stop-deployment", "operator"]).exit_code == 2


def test_kubectl_alone_removes_the_finalizers_of_a_namespace_without_an_operator(kubernetes):
    names = [held(kubernetes, f"release-kubectl-{i}", FINALIZER) for i in range(3)]
    kubernetes.kubectl("delete", "namespace", kubernetes.namespace, "--wait=false")
    kubernetes.kubectl("delete", "ofo", "--all", "--wait=false")
    assert all(finalizers(kubernetes, name) for name in names)
    # As the documents have it.
    kubectl = f"{kubernetes.program} --kubeconfig {kubernetes.kubeconfig} -n {kubernetes.namespace}"
    patch = """patch --type=merge -p '{"metadata":{"finalizers":null}}'"""
    script = f"{kubectl} get orders.orderfleet.dev -o name | xargs -n 50 {kubectl} {patch}"
    subprocess.run(["sh", "-ec", script], check=True, timeout=120)
    assert json.loads(kubernetes.kubectl("get", "ofo", "-o", "json"))["items"] == []
