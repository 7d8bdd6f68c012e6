"""`find_order` reads the Order that an order was started from, with the user's kubeconfig."""

from __future__ import annotations

import json

import pytest

from orderfleet.cli.order.describe import KubernetesUnavailable, find_order
from orderfleet.settings import Settings
from support.factories import ADDRESS_JSON

ORDER = {
    "apiVersion": "orderfleet.dev/v1alpha1",
    "kind": "Order",
    "metadata": {"name": "o-1"},
    "spec": {
        "items": [{"sku": "widget", "qty": 2}],
        "address": ADDRESS_JSON,
    },
}


@pytest.fixture(autouse=True)
def shell(monkeypatch, tmp_path, kubernetes):
    monkeypatch.setenv("ORDERFLEET_STACK_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(kubernetes.program.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.mark.slow
def test_find_order_without_a_local_stack_uses_the_current_context(monkeypatch, kubernetes):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    kubernetes.kubectl("apply", "-f", "-", input=json.dumps(ORDER))
    found = find_order(f"{kubernetes.namespace}/o-1", Settings())
    assert (found.namespace, found.name, found.generation, found.status) == (kubernetes.namespace, "o-1", 1, {})
    with pytest.raises(KubernetesUnavailable, match='"o-2" not found'):
        find_order(f"{kubernetes.namespace}/o-2", Settings())


@pytest.mark.slow
def test_find_order_without_access_raises_the_cause(monkeypatch, tmp_path):
    with pytest.raises(KubernetesUnavailable, match="there is no kubeconfig; set KUBECONFIG"):
        find_order("shop/o-1", Settings())
    with pytest.raises(KubernetesUnavailable, match="started outside Kubernetes"):
        find_order("", Settings())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubernetesUnavailable, match="kubectl is not on the PATH"):
        find_order("shop/o-1", Settings())
