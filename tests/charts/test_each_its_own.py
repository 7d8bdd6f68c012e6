"""Each process has only the Secrets that it needs."""

from __future__ import annotations

from typing import Any

import pytest

from charts.helm import environment
from charts.value_sets import PRODUCT
from orderfleet.settings import Settings

OWNERS = ["Job migration", "CronJob prune"]
"""Processes that log in to Postgres as the role that owns the tables."""
ROLES = [f"Deployment {name}" for name in ("orders-worker", "shipping-worker", "operator", "api")]


def pod(objects: list[dict[str, Any]], which: str) -> dict[str, Any]:
    kind, _, name = which.partition(" ")
    (found,) = [
        each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, f"shop-orderfleet-{name}")
    ]
    spec = found["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else found["spec"]
    return dict(spec["template"]["spec"])


def secrets(pod: dict[str, Any]) -> set[str]:
    """Every Secret of a pod; all are files."""
    (container,) = pod["containers"]
    assert not [each["name"] for each in container["env"] if "valueFrom" in each], "a Secret is a variable"
    assert {each["name"] for each in pod["volumes"]} == {each["name"] for each in container["volumeMounts"]}
    return {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}


@pytest.fixture(scope="module")
def everything(helm) -> list[dict[str, Any]]:
    rendered: list[dict[str, Any]] = helm.template("orderfleet", PRODUCT["everything"])
    return rendered


@pytest.mark.parametrize("which", OWNERS)
def test_process_of_the_tables_owner_has_only_its_login(everything, which):
    there = pod(everything, which)
    assert secrets(there) == {"record-owner", "owner-tls"}
    (url,) = [each["secret"] for each in there["volumes"] if each["name"] == "database"]
    assert (url["secretName"], url["items"]) == ("record-owner", [{"key": "address", "path": "url"}])
    given = environment(there)
    assert (given["PGSSLMODE"], given["PGSSLKEY"]) == ("verify-full", "/etc/orderfleet/postgres/tls.key")
    # Its own extra variables, not those of the other processes, which may come from any Secret.
    assert given["PGAPPNAME"] == "owner"
    assert not {"ORDERFLEET_LOG_LEVEL", "ORDERFLEET_TEMPORAL_ADDRESS"} & set(given)


@pytest.mark.parametrize("which", ROLES)
def test_running_process_never_has_the_owners_login(everything, which):
    there = pod(everything, which)
    assert not {"record-owner", "owner-tls"} & secrets(there)
    assert {"orderfleet-database", "postgres-tls"} <= secrets(there)
    assert environment(there)["ORDERFLEET_LOG_LEVEL"] == "debug"


@pytest.mark.parametrize("which", [*OWNERS, *ROLES])
def test_only_operator_and_api_have_the_address_for_notifications(everything, which):
    waits = which in {"Deployment operator", "Deployment api"}
    assert ("record-itself" in secrets(pod(everything, which))) is waits


def test_only_the_migration_names_the_runtime_role(everything):
    named = {
        which
        for which in (*OWNERS, *ROLES)
        if "ORDERFLEET_DATABASE_RUNTIME_ROLE" in environment(pod(everything, which))
    }
    assert named == {"Job migration"}


def test_migration_without_an_own_role_uses_the_login_of_the_pods(helm):
    values = {"database": {"tls": {"secret": "postgres-tls"}}, "prune": {"enabled": True, "olderThan": "720h"}}
    objects = helm.template("orderfleet", values)
    for which in OWNERS:
        assert secrets(pod(objects, which)) == {"orderfleet-database", "postgres-tls"}
        assert "ORDERFLEET_DATABASE_RUNTIME_ROLE" not in environment(pod(objects, which))


def test_prune_runs_on_schedule_and_never_twice_at_once(everything):
    (job,) = [each["spec"] for each in everything if each["kind"] == "CronJob"]
    assert (job["schedule"], job["timeZone"], job["concurrencyPolicy"]) == ("0 1 * * 0", "Etc/UTC", "Forbid")
    there = pod(everything, "CronJob prune")
    assert there["containers"][0]["args"] == ["prune"]
    assert environment(there)["ORDERFLEET_PRUNE_AFTER"] == "2160h"
    assert there["serviceAccountName"] in accounts(everything)


def accounts(objects: list[dict[str, Any]]) -> set[str]:
    return {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}


def test_codec_server_has_only_keys_and_callers(everything):
    there = pod(everything, "Deployment codec")
    assert secrets(there) == {"orderfleet-encryption", "api-tokens"}
    given = environment(there)
    assert not [
        name for name in given if name.startswith(("ORDERFLEET_DATABASE", "ORDERFLEET_TEMPORAL", "PG", "TEMPORAL"))
    ]
    assert given["ORDERFLEET_API_TOKENS_FILE"] == "/etc/orderfleet/api/tokens/tokens.yaml"
    assert given["ORDERFLEET_CODEC_ORIGINS"] == "https://temporal.example,https://other.example"
    assert there["serviceAccountName"] in accounts(everything)


def test_service_of_the_codec_server_has_its_port(everything):
    (container,) = pod(everything, "Deployment codec")["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().codec_port
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    by = {
        each["kind"]: each["spec"]
        for each in everything
        if each["metadata"]["name"] == "shop-orderfleet-codec" and each["kind"] in ("Service", "NetworkPolicy")
    }
    assert by["Service"]["ports"][0]["targetPort"] == port["name"]
    assert by["NetworkPolicy"]["ingress"][0]["ports"][0]["port"] == port["name"]
    assert by["NetworkPolicy"]["podSelector"]["matchLabels"] == by["Service"]["selector"]


def test_codec_server_accepts_an_identity_provider(helm):
    values = {
        **PRODUCT["callers of an identity provider"],
        "codec": {"enabled": True},
        "encryption": {"keysSecret": "keys"},
    }
    there = pod(helm.template("orderfleet", values), "Deployment codec")
    assert environment(there)["ORDERFLEET_API_JWKS_URL"] == "https://id.example/keys"
    assert secrets(there) == {"keys"}


def test_codec_server_without_authentication_is_rejected(helm):
    values = {"codec": {"enabled": True}, "encryption": {"keysSecret": "keys"}}
    assert "reaches the codec server reads every order" in helm.render_error("orderfleet", values)


def test_notes_show_the_address_of_the_codec_server(helm):
    command = ("install", "shop", "charts/orderfleet", "--namespace", "shop", "--dry-run=client")
    result = helm.run(*command, values=PRODUCT["everything"])
    assert result.returncode == 0, result.stderr
    assert "service/shop-orderfleet-codec 8088:80" in result.stdout.partition("NOTES:")[2]


def test_optional_parts_are_absent_by_default(helm):
    names = {each["metadata"]["name"] for each in helm.template("orderfleet")}
    assert not [name for name in names if name.endswith(("-codec", "-prune"))]


def test_api_serves_metrics_only_on_the_health_port(everything):
    (container,) = pod(everything, "Deployment api")["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"api": Settings().api_port, "http": Settings().health_port}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"
    by = {each["kind"]: each.get("spec") for each in everything if each["metadata"]["name"] == "shop-orderfleet-api"}
    (service,) = by["Service"]["ports"]
    assert service["targetPort"] == "api"
    (path,) = by["Ingress"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["port"] == {"name": service["name"]}
    assert by["HTTPRoute"]["rules"][0]["backendRefs"][0]["port"] == service["port"]
    assert [each["port"] for each in by["NetworkPolicy"]["ingress"][0]["ports"]] == ["api"]
    (monitor,) = [each["spec"] for each in everything if each["kind"] == "PodMonitor"]
    assert "api" not in [each["port"] for each in monitor["podMetricsEndpoints"]]
