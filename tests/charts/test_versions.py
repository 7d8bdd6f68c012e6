"""Workers of several images as versions of one Worker Deployment."""

from __future__ import annotations

from typing import Any

from charts.value_sets import PRODUCT

TWO = PRODUCT["two versions"]


def workers(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The workers' Deployments by name."""
    found = [each for each in objects if each["kind"] == "Deployment" and "-worker" in each["metadata"]["name"]]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def given(deployment: dict[str, Any]) -> dict[str, str]:
    (container,) = deployment["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]} | {"image": container["image"]}


def test_each_image_has_workers_with_its_build_id(helm):
    found = workers(helm.template("orderfleet", TWO))
    builds = {"0-2-0": ("0.2.0", ":0.2.0"), "0-1-0": ("0.1.0", ":0.1.0"), "b" * 12: ("b" * 12, "@sha256:" + "b" * 64)}
    assert set(found) == {
        f"shop-orderfleet-{kind}-worker-{suffix}" for kind in ("orders", "shipping") for suffix in builds
    }
    for name, deployment in found.items():
        build, image = builds[name.partition("-worker-")[2]]
        variables = given(deployment)
        assert variables["image"] == f"orderfleet{image}"
        assert (variables["ORDERFLEET_WORKER_DEPLOYMENT"], variables["ORDERFLEET_WORKER_BUILD_ID"]) == (
            "orderfleet",
            build,
        )


def test_deployment_of_a_version_is_unchanged_by_another_version(helm):
    # Kubernetes keeps the pods, because their template is equal.
    alone = {"image": {"tag": "0.1.0"}, "versioning": {"deployment": "orderfleet"}}
    name = "shop-orderfleet-shipping-worker-0-1-0"
    before, after = (workers(helm.template("orderfleet", values))[name] for values in (alone, TWO))
    assert before == after


def test_each_version_has_its_autoscaler_and_disruption_budget(helm):
    objects = helm.template("orderfleet", TWO)
    names = set(workers(objects))
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    assert set(scaled) == {name for name in names if "-orders-" in name}
    budgets = [each for each in objects if each["kind"] == "PodDisruptionBudget"]
    protected = {each["metadata"]["name"] for each in budgets}
    assert names <= protected
    selectors = [tuple(sorted(each["spec"]["selector"]["matchLabels"].items())) for each in budgets]
    assert len(set(selectors)) == len(selectors)


def test_workers_without_a_deployment_have_no_version(helm):
    found = workers(helm.template("orderfleet"))
    assert set(found) == {"shop-orderfleet-orders-worker", "shop-orderfleet-shipping-worker"}
    for deployment in found.values():
        assert not {each for each in given(deployment) if "WORKER_DEPLOYMENT" in each or "BUILD_ID" in each}
        assert "orderfleet.dev/build" not in deployment["selector"]["matchLabels"]


def test_other_versions_need_the_deployments_name(helm):
    assert "versioning.deployment isn't set" in helm.render_error("orderfleet", {"versioning": {"others": ["0.1.0"]}})


def test_notes_show_how_a_version_becomes_current(helm):
    command = ("install", "shop", "charts/orderfleet", "--namespace", "shop", "--dry-run=client")
    result = helm.run(*command, "--values", "tests/charts/chosen.yaml", values=TWO)
    assert result.returncode == 0, result.stderr
    assert "set-current-version --deployment-name orderfleet --build-id 0.2.0" in result.stdout
