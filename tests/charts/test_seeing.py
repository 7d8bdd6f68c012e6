"""Grafana's and Prometheus' files, data sources and dashboards in the development chart match each other."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from charts.helm import documents
from charts.value_sets import ON_KIND
from orderfleet_local.stack import paths
from support.prometheus_programs import program

DASHBOARDS = paths.checkout() / "deploy" / "dashboards"


@pytest.fixture(scope="module")
def objects(helm) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = helm.template("orderfleet-dev")
    return rendered


def of(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return dict(of(objects, "Deployment", name)["spec"]["template"]["spec"])


def files(objects: list[dict[str, Any]], name: str) -> dict[str, str]:
    """Every file of a pod from a ConfigMap, by path."""
    there = pod(objects, name)
    maps = {each["name"]: each["configMap"]["name"] for each in there["volumes"] if "configMap" in each}
    mounts = {each["name"]: each["mountPath"] for each in there["containers"][0]["volumeMounts"]}
    assert len(set(mounts.values())) == len(mounts)
    return {
        f"{mounts[volume]}/{file}": text
        for volume, name_of_map in maps.items()
        for file, text in of(objects, "ConfigMap", name_of_map)["data"].items()
    }


def sources(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Grafana's data sources by uid."""
    provisioned = yaml.safe_load(files(objects, "grafana")["/etc/grafana/provisioning/datasources/sources.yaml"])
    return {each["uid"]: each for each in provisioned["datasources"]}


def test_dashboards_are_in_the_folders_that_grafana_reads(objects):
    there = files(objects, "grafana")
    (folder,) = yaml.safe_load(there["/etc/grafana/provisioning/dashboards/folders.yaml"])["providers"]
    found = {path.rpartition("/")[2]: text for path, text in there.items() if path.endswith(".json")}
    assert all(path.startswith(f"{folder['options']['path']}/") for path in there if path.endswith(".json"))
    assert found == {file.name: file.read_text().rstrip("\n") + "\n" for file in DASHBOARDS.glob("*.json")}
    uids = [json.loads(text)["uid"] for text in found.values()]
    assert len(uids) == len(set(uids)) > 0
    environment = {each["name"]: each["value"] for each in pod(objects, "grafana")["containers"][0]["env"]}
    assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in there


def test_data_sources_of_dashboards_exist(objects):
    there = sources(objects)
    kinds = {each["type"] for each in there.values()}
    for file in DASHBOARDS.glob("*.json"):
        board = json.loads(file.read_text())
        # A variable selects a source of a kind, of which there is one.
        variables = {
            f"${each['name']}": each["query"] for each in board["templating"]["list"] if each["type"] == "datasource"
        }
        named = [each["datasource"] for each in board["panels"] if each.get("datasource")]
        named += [
            each["datasource"] for panel in board["panels"] for each in panel.get("targets", ()) if "datasource" in each
        ]
        assert named, file
        for source in named:
            assert source["type"] in kinds, file
            kind = variables.get(source["uid"]) or there[source["uid"]]["type"]
            assert kind == source["type"], file
    assert [each["type"] for each in there.values() if each.get("isDefault")] == ["prometheus"]


def test_addresses_name_existing_services(objects):
    urls = [each["url"].removeprefix("http://") for each in sources(objects).values()]
    collector = yaml.safe_load(files(objects, "collector")["/etc/otelcol/config.yaml"])
    urls += [each["endpoint"] for each in collector["exporters"].values()]
    urls.append(ON_KIND["orderfleet"]["settings"]["ORDERFLEET_OTLP_ENDPOINT"])
    assert len(urls) == 4
    for url in urls:
        host, _, port = url.partition(":")
        assert int(port) in [each["port"] for each in of(objects, "Service", host)["spec"]["ports"]], url


def test_collector_uses_all_its_components(objects):
    config = yaml.safe_load(files(objects, "collector")["/etc/otelcol/config.yaml"])
    (pipeline,) = config["service"]["pipelines"].values()
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline[part]) == set(config[part])
    assert set(config["service"]["extensions"]) == set(config["extensions"])
    ports = {port["containerPort"] for port in pod(objects, "collector")["containers"][0]["ports"]}
    listened = [config["receivers"]["otlp"]["protocols"]["grpc"], *config["extensions"].values()]
    assert {int(each["endpoint"].rpartition(":")[2]) for each in listened} == ports


@pytest.mark.slow
def test_promtool_accepts_configuration_and_rules(objects, tmp_path):
    there = files(objects, "prometheus")
    content = yaml.safe_load(there.pop("/etc/prometheus/prometheus.yml"))
    # Debian's promtool lacks Kubernetes discovery, so its section is checked here.
    assert content["scrape_configs"][0].pop("kubernetes_sd_configs")[0]["role"] == "pod"
    for path, text in there.items():
        file = tmp_path / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    content["rule_files"] = [f"{tmp_path}{each}" for each in content["rule_files"]]
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(content))
    result = subprocess.run(
        [program("promtool"), "check", "config", config], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    groups = yaml.safe_load((paths.checkout() / "deploy/rules/orderfleet.yaml").read_text())["groups"]
    assert f"{sum(len(group['rules']) for group in groups)} rules found" in result.stdout


def test_prometheus_scrapes_the_products_metrics_ports(objects, helm):
    text = files(objects, "prometheus")["/etc/prometheus/prometheus.yml"]
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (kept,) = [each["regex"] for each in job["relabel_configs"] if each.get("action") == "keep"]
    named = {
        port["name"]
        for each in helm.template("orderfleet", ON_KIND["orderfleet"])
        if each["kind"] == "Deployment"
        for port in each["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    # The API's own port is public, and has no metrics.
    assert named - {"api"} == set(kept.split("|"))


def test_prometheus_scrapes_temporals_metrics(objects):
    (container,) = pod(objects, "temporal")["containers"]
    options = dict(each.split("=", 1) for each in container["args"] if "=" in each)
    ports = {each["containerPort"]: each["name"] for each in container["ports"]}
    text = files(objects, "prometheus")["/etc/prometheus/prometheus.yml"]
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (kept,) = [each["regex"] for each in job["relabel_configs"] if each.get("action") == "keep"]
    assert ports[int(options["--metrics-port"])] in kept.split("|")
    # No port of another pod has this name.
    others = [
        port["name"]
        for each in objects
        if each["kind"] == "Deployment"
        for one in each["spec"]["template"]["spec"]["containers"]
        for port in one["ports"]
        if port["name"] in kept.split("|")
    ]
    assert others == [ports[int(options["--metrics-port"])]]


def test_temporal_that_answers_no_calls_is_restarted(objects):
    (container,) = pod(objects, "temporal")["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    args = dict(each.split("=", 1) for each in container["args"] if "=" in each)
    probe = container["livenessProbe"]["httpGet"]
    assert ports[probe["port"]] == int(args["--http-port"])
    # The probe is a call that reads namespace and database, not an open port.
    assert probe["path"] == "/api/v1/namespaces/default/workflows?pageSize=1"


def test_disabled_part_has_no_objects(helm):
    parts = ("prometheus", "grafana", "traces", "collector")
    rendered = helm.run(
        "template", "shop", "charts/orderfleet-dev", values={part: {"enabled": False} for part in parts}
    )
    names = {each["metadata"]["name"] for each in documents(rendered.stdout)}
    assert names == {"temporal", "temporal-ui", "postgres", "orderfleet-database"}
