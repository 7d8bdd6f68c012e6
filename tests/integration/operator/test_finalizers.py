"""Removal of the finalizer before an uninstall."""

from __future__ import annotations

import json
import subprocess

import pytest
from typer.testing import CliRunner

from orderfleet.cli.roles import app
from orderfleet.domain.names import FINALIZER
from orderfleet.operator.finalizers import remove_order_finalizers, stop_operators
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.main import login
from support.factories import order_manifest

THEIRS = "example.com/theirs"


@pytest.fixture
async def api(kubernetes, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    async with Kubernetes(login, connections=4) as client:
        yield client


def create_order(cluster, name: str, *finalizers: str) -> str:
    order = order_manifest(name)
    order["metadata"]["finalizers"] = list(finalizers)
    cluster.kubectl("create", "-f", "-", input=json.dumps(order))
    return name


def finalizers(cluster, name: str) -> list[str]:
    return json.loads(cluster.kubectl("get", "ofo", name, "-o", "json"))["metadata"].get("finalizers", [])


async def test_remove_order_finalizers_keeps_other_finalizers(api, kubernetes):
    names = [create_order(kubernetes, f"release-{i}", FINALIZER) for i in range(3)]
    shared = create_order(kubernetes, "release-shared", FINALIZER, THEIRS)
    create_order(kubernetes, "release-never")
    assert await remove_order_finalizers(api, [kubernetes.namespace]) == 4
    assert [finalizers(kubernetes, name) for name in names] == [[], [], []]
    assert finalizers(kubernetes, shared) == [THEIRS]
    assert await remove_order_finalizers(api, [kubernetes.namespace]) == 0


async def test_remove_order_finalizers_unblocks_deletion(api, kubernetes):
    create_order(kubernetes, "release-hangs", FINALIZER)
    kubernetes.kubectl("delete", "ofo", "release-hangs", "--wait=false")
    await remove_order_finalizers(api, [kubernetes.namespace])
    kubernetes.kubectl("wait", "--for=delete", "ofo/release-hangs", "--timeout=50s")


async def test_remove_order_finalizers_reads_all_pages(api, kubernetes, monkeypatch):
    for i in range(5):
        create_order(kubernetes, f"release-page-{i}", FINALIZER)
    monkeypatch.setattr("orderfleet.operator.kubernetes.PAGE_SIZE", 2)
    assert await remove_order_finalizers(api, [kubernetes.namespace]) == 5


async def test_stop_operators_scales_deployments_to_zero(api, kubernetes):
    names = ["operator", "eu-operator"]
    for name in names:
        kubernetes.kubectl("create", "deployment", name, "--image=none", "--replicas=1")
    deployments = [(kubernetes.namespace, name) for name in ("not-there", *names)]
    await stop_operators(api, deployments, "app in (operator,eu-operator)")
    for name in names:
        deployment = json.loads(kubernetes.kubectl("get", "deployment", name, "-o", "json"))
        assert deployment["spec"]["replicas"] == 0
    await stop_operators(api, deployments[:1], "app=operator")


def test_command_removes_finalizers_and_prints_count(kubernetes, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.setenv("ORDERFLEET_OPERATOR_NAMESPACES", kubernetes.namespace)
    create_order(kubernetes, "release-command", FINALIZER)
    result = CliRunner().invoke(app, ["remove-finalizers", "--stop-deployment", f"{kubernetes.namespace}/not-there"])
    assert (result.exit_code, result.output) == (0, "finalizer removed from 1 Orders\n")
    assert CliRunner().invoke(app, ["remove-finalizers", "--stop-deployment", "operator"]).exit_code == 2


def test_kubectl_alone_removes_the_finalizers_of_a_namespace_without_an_operator(kubernetes):
    names = [create_order(kubernetes, f"release-kubectl-{i}", FINALIZER) for i in range(3)]
    kubernetes.kubectl("delete", "namespace", kubernetes.namespace, "--wait=false")
    kubernetes.kubectl("delete", "ofo", "--all", "--wait=false")
    assert all(finalizers(kubernetes, name) for name in names)
    # As documented.
    kubectl = f"{kubernetes.program} --kubeconfig {kubernetes.kubeconfig} -n {kubernetes.namespace}"
    patch = """patch --type=merge -p '{"metadata":{"finalizers":null}}'"""
    script = f"{kubectl} get orders.orderfleet.dev -o name | xargs -n 50 {kubectl} {patch}"
    subprocess.run(["sh", "-ec", script], check=True, timeout=120)
    assert json.loads(kubernetes.kubectl("get", "ofo", "-o", "json"))["items"] == []
