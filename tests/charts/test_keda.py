"""The chart's triggers for KEDA have valid parameters and do not connect to Temporal without TLS by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from charts.definitions import trigger_parameters
from charts.value_sets import PRODUCT

TLS = {"temporal": {"tls": {"enabled": True}}}
API_KEY = {"temporal": {"apiKeySecret": {"name": "temporal-key"}}}
WORKERS = {"workers": {"orders": {"serves": "orders", "autoscaling": {"kind": "keda"}}}}


def triggers(helm) -> Iterator[dict[str, Any]]:
    """Every trigger of every ScaledObject, with every set of values."""
    for values in PRODUCT.values():
        for each in helm.template("orderfleet", values):
            if each["kind"] == "ScaledObject":
                yield from each["spec"]["triggers"]


@pytest.mark.slow
def test_triggers_have_only_known_and_all_required_parameters(helm):
    known = trigger_parameters()
    readable = [
        name for name, each in known.items() if each.get("metadataVariableReadable") and not each.get("deprecated")
    ]
    needed = {name for name in readable if not known[name].get("optional") and "default" not in known[name]}
    assert "taskQueue" in needed
    found = list(triggers(helm))
    assert found
    for each in found:
        assert each["type"] == "temporal"
        assert needed <= set(each["metadata"]) <= set(readable)
        # KEDA accepts only strings: it would reject a number when it reads the object.
        assert all(isinstance(value, str) for value in each["metadata"].values())


def test_keda_scales_each_version_by_its_own_backlog(helm):
    objects = helm.template("orderfleet", PRODUCT["versions by their backlog"])
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["triggers"][0]["metadata"]
        for each in objects
        if each["kind"] == "ScaledObject"
    }
    workers = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Deployment"}
    assert len(scaled) == 4
    for name, parameters in scaled.items():
        (container,) = workers[name]["template"]["spec"]["containers"]
        given = {each["name"]: each.get("value") for each in container["env"]}
        assert parameters["workerDeploymentName"] == given["ORDERFLEET_WORKER_DEPLOYMENT"]
        assert parameters["workerDeploymentBuildId"] == given["ORDERFLEET_WORKER_BUILD_ID"]


def test_trigger_has_the_server_name_of_temporals_certificate(helm):
    assert "cloud" in [each["metadata"].get("tlsServerName") for each in triggers(helm)]


@pytest.mark.parametrize("temporal", [TLS, API_KEY], ids=["tls", "api key"])
def test_trigger_without_tls_is_rejected_where_temporal_has_tls(helm, temporal):
    message = helm.render_error("orderfleet", {**temporal, **WORKERS})
    assert "autoscaling.authentication of worker `orders` isn't set" in message
