"""The rendered objects of the product's chart: names, rights, drain and scaling; unknown values are rejected."""

from __future__ import annotations

import ast
import json
import shutil
from typing import Any

import pytest
import yaml

from charts.chart_docs import FIXED, SET_BY_VALUES
from charts.helm import documents
from charts.value_sets import DEVELOPMENT, PRODUCT
from orderfleet.domain.names import ORDERS_TASK_QUEUE, SHIPPING_TASK_QUEUE
from orderfleet.settings import Settings
from orderfleet.settings.base import PREFIX
from orderfleet.temporal.worker import _CANCELLATION_GRACE
from orderfleet_local.stack import paths
from orderfleet_local.stack.temporal_server import _DYNAMIC_CONFIG


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] in kinds]


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def pods(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Every pod's spec, with the name of its owner."""
    found = [
        (each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in of_kind(objects, "Deployment", "Job")
    ]
    found += [
        (each["metadata"]["name"], each["spec"]["jobTemplate"]["spec"]["template"]["spec"])
        for each in of_kind(objects, "CronJob")
    ]
    return [*found, *((each["metadata"]["name"], each["spec"]) for each in of_kind(objects, "Pod"))]


def environment(container: dict[str, Any]) -> dict[str, str]:
    names = [variable["name"] for variable in container.get("env", [])]
    assert len(names) == len(set(names)), "a variable is set twice"
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}


@pytest.mark.parametrize("chart", ["orderfleet", "orderfleet-dev"])
def test_lint_finds_nothing(helm, chart):
    result = helm.run("lint", "--strict", f"charts/{chart}")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("values", PRODUCT.values(), ids=PRODUCT.keys())
def test_every_variable_is_a_setting_and_every_value_is_read(helm, values, monkeypatch):
    objects = helm.template("orderfleet", values)
    known = {name for field in Settings.model_fields for name in _variables(field)}
    for name, pod in pods(objects):
        for container in pod["containers"]:
            given = environment(container)
            ours = {variable for variable in given if variable.startswith(PREFIX)}
            assert ours <= known, name
            assert not ours & FIXED, name
            for variable in ours:
                monkeypatch.setenv(variable, given[variable])
            Settings()


def _variables(field: str) -> list[str]:
    from orderfleet.cli.errors import variables  # noqa: PLC0415 - only here

    return variables(field)


def test_setting_with_an_own_value_is_set_by_it(helm):
    objects = [each for values in PRODUCT.values() for each in helm.template("orderfleet", values)]
    set_somewhere = {name for _, pod in pods(objects) for each in pod["containers"] for name in environment(each)}
    assert set(SET_BY_VALUES) <= set_somewhere


def test_defaults_of_the_chart_equal_the_settings(helm):
    worker = named(helm.template("orderfleet"), "Deployment", "shop-orderfleet-orders-worker")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    given = environment(container)
    product = Settings()
    assert given["ORDERFLEET_ORDERS_TASK_QUEUE"] == ORDERS_TASK_QUEUE
    assert given["ORDERFLEET_SHIPPING_TASK_QUEUE"] == SHIPPING_TASK_QUEUE
    assert int(given["ORDERFLEET_WORKER_ACTIVITY_SLOTS"]) == product.worker_activity_slots
    assert int(given["ORDERFLEET_WORKER_WORKFLOW_SLOTS"]) == product.worker_workflow_slots
    assert given["ORDERFLEET_DRAIN_TIMEOUT"] == f"{product.drain_timeout.seconds}s"


def test_order_and_shipping_workers_are_separate(helm):
    objects = helm.template("orderfleet", {"workers": {"shipping": {"serves": "shipping", "replicas": 7}}})
    orders, shipping = (
        named(objects, "Deployment", f"shop-orderfleet-{name}-worker") for name in ("orders", "shipping")
    )
    assert (orders["spec"]["replicas"], shipping["spec"]["replicas"]) == (2, 7)
    assert orders["spec"]["selector"] != shipping["spec"]["selector"]
    assert [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in (orders, shipping)] == [
        ["worker", "orders"],
        ["worker", "shipping"],
    ]


@pytest.mark.parametrize("seconds", [0, 20, 300])
def test_grace_period_exceeds_the_drain(helm, seconds):
    for deployment in of_kind(helm.template("orderfleet", {"drainSeconds": seconds}), "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert environment(container)["ORDERFLEET_DRAIN_TIMEOUT"] == f"{seconds}s"
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > pause + seconds + _CANCELLATION_GRACE.total_seconds()


@pytest.mark.parametrize(
    ("chart", "values"),
    [("orderfleet", each) for each in PRODUCT.values()] + [("orderfleet-dev", each) for each in DEVELOPMENT.values()],
)
def test_every_pod_is_restricted(helm, chart, values):
    for name, pod in pods(helm.template(chart, values)):
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"}), name
        assert security["runAsUser"] > 0, name
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert chart == "orderfleet-dev" or own["readOnlyRootFilesystem"] is True, name
            assert {"requests", "limits"} <= set(container["resources"]), name


def test_only_the_operator_has_rights_and_exactly_those_it_uses(helm):
    tree = ast.parse((paths.checkout() / "tests/integration/operator/test_access.py").read_text())
    needed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "RIGHTS"  # type: ignore[attr-defined]
    )
    objects = helm.template("orderfleet")
    assert named(objects, "ClusterRole", "shop-shop-orderfleet-operator")["rules"] == needed
    bound = {each["subjects"][0]["name"] for each in of_kind(objects, "RoleBinding", "ClusterRoleBinding")}
    assert bound == {"shop-orderfleet-operator", "shop-orderfleet-release"}
    for name, pod in pods(objects):
        if not name.endswith(("operator", "release")):
            assert pod["automountServiceAccountToken"] is False, name


def test_operator_of_some_namespaces_has_rights_only_there(helm):
    objects = helm.template("orderfleet", {"operator": {"namespaces": ["a", "b"]}})
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    roles = [
        each["metadata"].get("namespace")
        for each in of_kind(objects, "Role")
        if "operator" in each["metadata"]["name"] and each["rules"] != END_RIGHTS[:1]
    ]
    assert roles == ["a", "b"]


END_RIGHTS = [
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["shop"], "verbs": ["get"]},
    {"apiGroups": ["orderfleet.dev"], "resources": ["orders"], "verbs": ["delete"]},
]
"""Rights of the operator for the deletion of its own namespace."""


@pytest.mark.parametrize(
    ("namespaces", "rights"), [([], END_RIGHTS), (["shop", "b"], END_RIGHTS), (["b"], END_RIGHTS[:1])]
)
def test_operator_may_delete_orders_of_its_own_watched_namespace(helm, namespaces, rights):
    objects = helm.template("orderfleet", {"operator": {"namespaces": namespaces}})
    assert named(objects, "Role", "shop-orderfleet-operator-end")["rules"] == rights
    binding = named(objects, "RoleBinding", "shop-orderfleet-operator-end")
    assert "namespace" not in binding["metadata"]
    assert [each["name"] for each in binding["subjects"]] == ["shop-orderfleet-operator"]
    deleters = [
        role["metadata"]["name"]
        for role in of_kind(objects, "Role", "ClusterRole")
        if any("delete" in rule["verbs"] for rule in role["rules"])
    ]
    assert deleters == ["shop-orderfleet-operator-end"][: len(rights) - 1]


def test_operator_has_time_for_a_namespace_deletion_unless_it_hangs(helm):
    values = {"drainSeconds": 30, "operator": {"namespaceDeletionSeconds": 200}}
    pod = named(helm.template("orderfleet", values), "Deployment", "shop-orderfleet-operator")
    spec = pod["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert environment(container)["ORDERFLEET_OPERATOR_OWN_NAMESPACE"] == "shop"
    assert environment(container)["ORDERFLEET_OPERATOR_NAMESPACE_DELETION_TIMEOUT"] == "200s"
    assert spec["terminationGracePeriodSeconds"] == 30 + 200 + 15
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["terminationGracePeriodSeconds"] == 30 + 15
    assert "terminationGracePeriodSeconds" not in container["readinessProbe"]


def test_autoscaled_workers_have_no_replicas(helm):
    objects = helm.template("orderfleet", PRODUCT["everything"])
    for name in ("orders", "shipping"):
        assert "replicas" not in named(objects, "Deployment", f"shop-orderfleet-{name}-worker")["spec"]
    (hpa,) = of_kind(objects, "HorizontalPodAutoscaler")
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (1, 9)
    (keda,) = of_kind(objects, "ScaledObject")
    (trigger,) = keda["spec"]["triggers"]
    assert trigger["metadata"]["taskQueue"] == SHIPPING_TASK_QUEUE
    assert trigger["authenticationRef"] == {"name": "temporal"}
    both = of_kind(helm.template("orderfleet", PRODUCT["one worker for all"]), "ScaledObject")
    assert [each["metadata"]["taskQueue"] for each in both[0]["spec"]["triggers"]] == [
        ORDERS_TASK_QUEUE,
        SHIPPING_TASK_QUEUE,
    ]


def test_every_selector_matches_its_pods(helm):
    objects = helm.template("orderfleet", PRODUCT["everything"])
    templates = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(objects, "Deployment")]
    selectors = [each["spec"]["selector"] for each in of_kind(objects, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodDisruptionBudget")]
    assert len(selectors) == 5
    for selector in selectors:
        assert len([labels for labels in templates if selector.items() <= labels.items()]) == 1


def test_probes_use_ports_of_the_pod(helm):
    for deployment in of_kind(helm.template("orderfleet"), "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        paths_asked = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
        assert paths_asked == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        assert all(container[probe]["httpGet"]["port"] in ports for probe in paths_asked)


def test_migration_runs_before_upgrade_and_rollback(helm):
    job = named(helm.template("orderfleet"), "Job", "shop-orderfleet-migration")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["migrate", "--accept-newer"]


@pytest.mark.parametrize("chart", ["orderfleet", "orderfleet-dev"])
def test_pods_have_no_variables_of_services(helm, chart):
    # A Service `orderfleet-api` would set ORDERFLEET_API_PORT to its address.
    assert all(pod["enableServiceLinks"] is False for _, pod in pods(helm.template(chart)))


def test_chart_creates_no_secret(helm):
    assert not of_kind(helm.template("orderfleet", PRODUCT["everything"]), "Secret")


@pytest.mark.parametrize("chart", ["orderfleet", "orderfleet-dev"])
def test_no_variable_comes_from_a_secret(helm, chart):
    for values in (PRODUCT if chart == "orderfleet" else DEVELOPMENT).values():
        for name, pod in pods(helm.template(chart, values)):
            for container in [*pod["containers"], *pod.get("initContainers", [])]:
                assert not [each["name"] for each in container.get("env", []) if "valueFrom" in each], name
                assert "envFrom" not in container, name
                assert "postgresql://" not in json.dumps(container), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"worker": {}}, "worker"),
        ({"api": {"replica": 3}}, "replica"),
        ({"workers": {"orders": {"serves": "orders", "replica": 3}}}, "orders"),
        ({"workers": {"orders": {"serves": "order"}}}, "orders"),
        ({"workerDefaults": {"autoscaling": {"kind": "HPA"}}}, "kind"),
        ({"workerDefaults": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
        ({"settings": {"ORDERFLEET_REVEIW_TIMEOUT": "1h"}}, "REVEIW"),
        ({"settings": {"ORDERFLEET_DRAIN_TIMEOUT": "1h"}}, "DRAIN"),
        ({"drainSeconds": "20s"}, "drainSeconds"),
        ({"image": {"tag": 1.5}}, "tag"),
        ({"settings": {"ORDERFLEET_API_AUTH": "none"}}, "API_AUTH"),
        # An address has a password; settings are readable in the release and in every pod.
        ({"settings": {"ORDERFLEET_DATABASE_URL": "postgresql://…"}}, "DATABASE_URL"),
        ({"settings": {"ORDERFLEET_DATABASE_LISTEN_URL": "postgresql://…"}}, "DATABASE_LISTEN_URL"),
        ({"api": {"auth": {"mode": "token"}}}, "mode"),
        ({"providers": {"payment": {"adapter": "http", "url": "pay.example"}}}, "url"),
        ({"providers": {"carrier": {"timeout": "2"}}}, "timeout"),
    ],
)
def test_unknown_or_invalid_value_is_rejected(helm, values, message):
    assert message in helm.render_error("orderfleet", values)


def test_notes_show_the_next_steps(helm):
    command = ("install", "shop", "charts/orderfleet", "--namespace", "shop", "--dry-run=client")
    result = helm.run(*command, "--values", "tests/charts/chosen.yaml")
    assert result.returncode == 0, result.stderr
    for hint in ("helm -n shop test shop", "kubectl apply -f order.yaml", "no money moves", "api.auth.mode=none"):
        assert hint in result.stdout


def test_development_server_has_the_local_stacks_configuration(helm):
    temporal = named(helm.template("orderfleet-dev"), "Deployment", "temporal")
    arguments = temporal["spec"]["template"]["spec"]["containers"][0]["args"]
    given = {each.split("=", 1)[1] for each in arguments if each.startswith("--dynamic-config-value=")}
    assert given == set(_DYNAMIC_CONFIG)


def test_default_addresses_are_those_of_the_development_chart(helm):
    objects = helm.template("orderfleet-dev")
    product = yaml.safe_load((paths.checkout() / "charts/orderfleet/values.yaml").read_text())
    host, port = product["temporal"]["address"].split(":")
    assert int(port) in [each["port"] for each in named(objects, "Service", host)["spec"]["ports"]]
    secret = named(objects, "Secret", product["database"]["urlSecret"]["name"])
    address = secret["stringData"][product["database"]["urlSecret"]["key"]]
    assert f"@{named(objects, 'Service', 'postgres')['metadata']['name']}:5432/" in address


def test_rules_and_dashboards_are_rendered_unchanged(helm, tmp_path):
    chart = shutil.copytree(paths.checkout() / "charts/orderfleet", tmp_path / "orderfleet")
    rule = {"alert": "Example", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }} is unavailable"}}
    rules, board = {"groups": [{"name": "example", "rules": [rule]}]}, {"title": "{{ not a template }}", "panels": []}
    for folder, name, text in (("rules", "x.yaml", yaml.safe_dump(rules)), ("dashboards", "x.json", json.dumps(board))):
        (chart / "files" / folder).mkdir(exist_ok=True)
        (chart / "files" / folder / name).write_text(text)
    result = helm.run("template", "shop", str(chart), values=PRODUCT["everything"])
    assert result.returncode == 0, result.stderr
    objects = documents(result.stdout)
    assert named(objects, "PrometheusRule", "shop-orderfleet-x")["spec"] == rules
    shown = named(objects, "ConfigMap", "shop-orderfleet-dashboard-x")
    assert json.loads(shown["data"]["x.json"]) == board
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
