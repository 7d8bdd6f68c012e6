"""The files of Tilt and kind match the charts and the image. Tests cannot run Tilt itself or a cluster of kind."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml

from charts.helm import documents
from charts.tilt import Tilt
from charts.value_sets import ON_KIND
from orderfleet_local.stack import paths

CHECKOUT = paths.checkout()


def load(path: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CHECKOUT / path).read_text())
    return content


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    recorded = Tilt()
    recorded.run(CHECKOUT / "Tiltfile")
    return recorded


@pytest.fixture(scope="module")
def rendered(helm) -> list[dict[str, Any]]:
    """The objects that Tilt applies: both charts with the Tiltfile's values."""
    recorded = Tilt()
    recorded.run(CHECKOUT / "Tiltfile")
    objects: list[dict[str, Any]] = []
    for (chart,), named in recorded.calls["helm"]:
        options = [word for file in named["values"] for word in ("--values", file)]
        result = helm.run("template", named["name"], chart, "--namespace", named["namespace"], *options)
        assert result.returncode == 0, result.stderr
        objects += [each for each in documents(result.stdout) if each]
    return objects


def workloads(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in {"Deployment", "Job", "Pod"}}


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = workload["spec"]["template"]["spec"]["containers"][0]
    return container


def test_tiltfile_allows_only_the_kind_cluster(tilt):
    (((context,), _),) = tilt.calls["allow_k8s_contexts"]
    assert context == f"kind-{load('kind-config.yaml')['name']}"


def test_tiltfile_is_short():
    assert len((CHECKOUT / "Tiltfile").read_text().splitlines()) < 120


def test_tiltfile_names_exactly_the_workloads_of_the_charts(tilt, rendered):
    assert {name for (name,), _ in tilt.calls["k8s_resource"]} == set(workloads(rendered))


def test_dependencies_in_the_tiltfile_exist(tilt):
    there = {name for (name,), _ in tilt.calls["k8s_resource"]}
    calls = tilt.calls["k8s_resource"] + tilt.calls["local_resource"]
    assert {need for _, named in calls for need in named.get("resource_deps") or []} <= there
    assert all(named["labels"] for _, named in calls)


def test_tilt_forwards_to_existing_ports(tilt, rendered):
    forwards = {name: named.get("port_forwards") or [] for (name,), named in tilt.calls["k8s_resource"]}
    taken = [mapping["hostPort"] for mapping in load("kind-config.yaml")["nodes"][0]["extraPortMappings"]]
    for name, pairs in forwards.items():
        for here, there in (pair.split(":") for pair in pairs):
            ports = [port["containerPort"] for port in container_of(workloads(rendered)[name])["ports"]]
            assert int(there) in ports, name
            taken.append(int(here))
    assert len(taken) == len(set(taken)), "a port of this machine is taken twice"


def test_tilt_builds_the_image_that_the_product_runs(tilt, rendered):
    (((image, context), named),) = tilt.calls["docker_build"]
    ours = [each for name, each in workloads(rendered).items() if name.startswith("orderfleet-")]
    assert {container_of(each)["image"].rpartition(":")[0] for each in ours} == {image}
    assert context == "."
    stages = re.findall(r"^FROM \S+ AS (\w+)", (CHECKOUT / named["dockerfile"]).read_text(), re.MULTILINE)
    assert named["target"] in stages
    assert all((CHECKOUT / each).exists() for each in named["only"])


def test_live_update_writes_into_the_writable_code_of_the_image(tilt, rendered):
    (_, named) = tilt.calls["docker_build"][0]
    fall_back, *syncs = named["live_update"]
    assert all((CHECKOUT / each).exists() for each in fall_back["fall_back_on"])
    stage = (CHECKOUT / "deploy/Dockerfile").read_text().split(" AS dev\n")[1].split("\nFROM ")[0]
    copied = dict(re.findall(r"^COPY --chown=65532:65532 (\S+) (\S+)$", stage, re.MULTILINE))
    assert dict(each["sync"] for each in syncs) == copied
    for name, each in workloads(rendered).items():
        if name.startswith("orderfleet-"):
            assert container_of(each)["securityContext"]["readOnlyRootFilesystem"] is False


def test_buttons_use_the_sample_order(tilt):
    sample = load("deploy/samples/order.yaml")["metadata"]["name"]
    commands = {name: shlex.split(named["cmd"]) for (name,), named in tilt.calls["local_resource"]}
    assert set(commands) == {"start-order", "approve-order", "cancel-order"}
    assert (CHECKOUT / commands["start-order"][-1]).is_file()
    for name in ("approve-order", "cancel-order"):
        assert sample in commands[name]
        assert set(yaml.safe_load(commands[name][-1])["spec"]) <= {"approved", "cancel"}


def test_kind_maps_the_node_ports_of_the_charts(helm):
    config = load("kind-config.yaml")
    (node,) = config["nodes"]
    node_ports = set()
    for chart, values in ON_KIND.items():
        for each in helm.template(chart, values):
            if each["kind"] == "Service":
                node_ports |= {port["nodePort"] for port in each["spec"]["ports"] if "nodePort" in port}
    assert {mapping["containerPort"] for mapping in node["extraPortMappings"]} == node_ports


def test_kind_script_names_existing_files():
    script = (CHECKOUT / "deploy/kind/up.sh").read_text()
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    image = load("deploy/kind/product.yaml")["image"]
    assert f"cluster={load('kind-config.yaml')['name']}" in script
    assert f"{image['repository'].replace('5001', '$port')}:{image['tag']}" in script
    files = re.findall(r"(?:-f |--config |install \w+ )([\w/.-]+/[\w.-]+|kind-config\.yaml)", script)
    assert len(files) > 5
    assert all((CHECKOUT / file).exists() for file in files)
    assert load("deploy/samples/order.yaml")["metadata"]["name"] in script
