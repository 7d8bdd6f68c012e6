"""Keys and certificates: where each Secret is mounted is where its variables point, in every role that needs it."""

from __future__ import annotations

from typing import Any

import pytest
from value_sets import PRODUCT

TEST = "shop-orderfleet-test"
ROLES = ["shop-orderfleet-orders-worker", "shop-orderfleet-shipping-worker", "shop-orderfleet-operator"]
EVERYWHERE = [*ROLES, "shop-orderfleet-api", TEST]

FILES = {
    "orderfleet-database": {"ORDERFLEET_DATABASE_URL_FILE": "/etc/orderfleet/database/url"},
    "postgres-tls": {
        "PGSSLROOTCERT": "/etc/orderfleet/postgres/ca.crt",
        "PGSSLCERT": "/etc/orderfleet/postgres/tls.crt",
        "PGSSLKEY": "/etc/orderfleet/postgres/tls.key",
    },
    "temporal-tls": {
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/etc/orderfleet/temporal/ca.crt",
        "TEMPORAL_TLS_CLIENT_CERT_PATH": "/etc/orderfleet/temporal/tls.crt",
        "TEMPORAL_TLS_CLIENT_KEY_PATH": "/etc/orderfleet/temporal/tls.key",
    },
    "temporal-key": {"ORDERFLEET_TEMPORAL_API_KEY_FILE": "/etc/orderfleet/temporal-key/apiKey"},
    "orderfleet-encryption": {"ORDERFLEET_ENCRYPTION_KEYS_DIR": "/etc/orderfleet/encryption"},
}
"""By Secret: the variables that point to its files."""


def pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    kinds = {"Deployment", "Job", "Pod"}
    (found,) = [each for each in objects if each["kind"] in kinds and each["metadata"]["name"] == name]
    spec: dict[str, Any] = found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"]
    return spec


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("secret", FILES)
def test_files_are_where_their_variables_point(helm, name, secret):
    there = pod(helm.template("orderfleet", PRODUCT["everything"]), name)
    (volume,) = [each for each in there["volumes"] if each.get("secret", {}).get("secretName") == secret]
    # The pod's group may read it, nobody else.
    assert volume["secret"]["defaultMode"] == 0o440
    (mount,) = [each for each in there["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert mount["readOnly"]
    assert "subPath" not in mount, "a Secret that is renewed would not reach the pod"
    given = environment(there)
    for variable, path in FILES[secret].items():
        assert given[variable] == path
        assert f"{path}/".startswith(f"{mount['mountPath']}/")


@pytest.mark.parametrize("name", ["shop-orderfleet-operator", "shop-orderfleet-api"])
def test_address_of_changes_is_a_file_of_its_own(helm, name):
    there = pod(helm.template("orderfleet", PRODUCT["everything"]), name)
    (volume,) = [each for each in there["volumes"] if each.get("secret", {}).get("secretName") == "record-itself"]
    assert volume["secret"]["items"] == [{"key": "url", "path": "url"}]
    (mount,) = [each for each in there["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert mount["mountPath"] == "/etc/orderfleet/database-listen"
    assert "subPath" not in mount, "a Secret that is renewed would not reach the pod"
    assert environment(there)["ORDERFLEET_DATABASE_LISTEN_URL_FILE"] == "/etc/orderfleet/database-listen/url"


@pytest.mark.parametrize("name", EVERYWHERE)
def test_servers_are_verified(helm, name):
    given = environment(pod(helm.template("orderfleet", PRODUCT["everything"]), name))
    assert (given["PGSSLMODE"], given["TEMPORAL_TLS"]) == ("verify-full", "true")
    assert given["ORDERFLEET_ENCRYPTION_KEY_ID"] == "k2"


def test_nothing_is_mounted_that_was_not_named(helm):
    objects = helm.template("orderfleet")
    for name in EVERYWHERE:
        there = pod(objects, name)
        secrets = [each["secret"]["secretName"] for each in there["volumes"] if "secret" in each]
        assert secrets == ["orderfleet-database"]
        named = {variable for named in FILES.values() for variable in named} & set(environment(there))
        assert named == {"ORDERFLEET_DATABASE_URL_FILE"}


def test_keys_are_there_before_they_are_used(helm):
    objects = helm.template("orderfleet", {"encryption": {"keysSecret": "keys"}})
    for name in ROLES:
        given = environment(pod(objects, name))
        assert given["ORDERFLEET_ENCRYPTION_KEYS_DIR"] == "/etc/orderfleet/encryption"
        assert "ORDERFLEET_ENCRYPTION_KEY_ID" not in given
