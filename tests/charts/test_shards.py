"""Operators that share Orders: each Order has exactly one operator, and each operator has an alert."""

from __future__ import annotations

from typing import Any

import pytest

from orderfleet.domain.label_selectors import LabelSelector

SHARDS = {"label": "region", "operators": {"eu": ["fr", "de"], "us": ["us"]}}
NAMES = ["shop-orderfleet-operator", "shop-orderfleet-eu-operator", "shop-orderfleet-us-operator"]


@pytest.fixture(scope="module")
def sharded(helm) -> list[dict[str, Any]]:
    rules = {"prometheusRule": {"enabled": True}}
    made: list[dict[str, Any]] = helm.template("orderfleet", {"operator": {"shards": SHARDS}, "metrics": rules})
    return made


def operators(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Deployment"}
    return {name: each for name, each in found.items() if name.endswith("-operator")}


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_single_operator_has_no_selector(helm):
    (only,) = operators(helm.template("orderfleet")).values()
    assert only["metadata"]["name"] == NAMES[0]
    assert "ORDERFLEET_OPERATOR_SELECTOR" not in environment(only)


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({}, 0),
        ({"region": "asia"}, 0),
        ({"region": ""}, 0),
        ({"orderfleet.dev/shard": "fr"}, 0),
        ({"region": "fr"}, 1),
        ({"region": "de", "other": "us"}, 1),
        ({"region": "us"}, 2),
    ],
)
def test_order_has_exactly_one_operator(sharded, labels, owner):
    takes = {
        name: LabelSelector.read(environment(each)["ORDERFLEET_OPERATOR_SELECTOR"]).matches(labels)
        for name, each in operators(sharded).items()
    }
    assert takes == {name: name == NAMES[owner] for name in NAMES}


def test_operators_differ_only_in_name_and_selector(sharded):
    made = operators(sharded)
    assert list(made) == NAMES
    for each in made.values():
        assert (each["spec"]["replicas"], each["spec"]["strategy"]) == (1, {"type": "Recreate"})
        selector = each["spec"]["selector"]["matchLabels"]
        labels = [other["spec"]["template"]["metadata"]["labels"] for other in made.values()]
        assert len([theirs for theirs in labels if selector.items() <= theirs.items()]) == 1
    pods = [each["spec"]["template"]["spec"] for each in made.values()]
    for pod in pods:
        (container,) = pod["containers"]
        container["env"] = [each for each in container["env"] if each["name"] != "ORDERFLEET_OPERATOR_SELECTOR"]
    assert pods[0] == pods[1] == pods[2]


def test_default_operator_keeps_its_name_and_labels(helm, sharded):
    alone, among = operators(helm.template("orderfleet"))[NAMES[0]], operators(sharded)[NAMES[0]]
    assert alone["spec"]["selector"] == among["spec"]["selector"]


def test_uninstall_stops_all_operators(sharded):
    (role,) = [
        each for each in sharded if (each["kind"], each["metadata"]["name"]) == ("Role", "shop-orderfleet-release")
    ]
    (scale,) = [rule for rule in role["rules"] if rule["resources"] == ["deployments/scale"]]
    assert scale["resourceNames"] == NAMES
    (job,) = [
        each for each in sharded if each["metadata"]["name"] == "shop-orderfleet-release" and each["kind"] == "Job"
    ]
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[1:-1] == [f"--stop-deployment=shop/{name}" for name in NAMES]
    waits_for = LabelSelector.read(arguments[-1].removeprefix("--stop-pods="))
    for each in operators(sharded).values():
        assert waits_for.matches(each["spec"]["template"]["metadata"]["labels"])


def test_each_operator_has_its_own_alert(helm, sharded):
    (rules,) = [each for each in sharded if each["metadata"]["name"] == "shop-orderfleet-operators"]
    (group,) = rules["spec"]["groups"]
    for rule, (name, operator) in zip(group["rules"], operators(sharded).items(), strict=True):
        component = operator["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        labels = f'role="operator", namespace="shop", app_kubernetes_io_component="{component}"'
        assert rule["expr"] == f"absent(orderfleet_build_info{{{labels}}})"
        assert rule["alert"] == "OrderfleetOperatorStuck"
        assert name in rule["annotations"]["summary"]
    alone = helm.template("orderfleet", {"metrics": {"prometheusRule": {"enabled": True}}})
    assert "shop-orderfleet-operators" not in [each["metadata"]["name"] for each in alone]


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ({"operators": {"eu": ["fr"], "us": ["us", "fr"]}}, "fr stands in eu and in us; an Order has one operator"),
        ({"operators": {"eu": ["fr", "fr"]}}, "fr stands in eu and in eu"),
        ({"operators": {"eu": []}}, "eu"),
        ({"operators": {"eu": [1]}}, "eu"),
        ({"operators": {"eu": ["a b"]}}, "eu"),
        ({"operators": {"EU": ["fr"]}}, "EU"),
        ({"label": "-region"}, "label"),
        ({"eu": ["fr"]}, "eu"),
    ],
)
def test_overlapping_or_invalid_shards_are_rejected(helm, shards, message):
    assert message in helm.render_error("orderfleet", {"operator": {"shards": shards}})
