"""Keys and certificates are mounted at the paths of their variables, in every role that needs them."""

from __future__ import annotations

import pytest

from charts.helm import TEST, environment, pod
from charts.value_sets import PRODUCT

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
"""By Secret: variables with paths of its files."""


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("secret", FILES)
def test_variables_have_the_paths_of_mounted_files(helm, name, secret):
    spec = pod(helm.template("orderfleet", PRODUCT["everything"]), name)
    (volume,) = [each for each in spec["volumes"] if each.get("secret", {}).get("secretName") == secret]
    # Only the pod's group may read it.
    assert volume["secret"]["defaultMode"] == 0o440
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert mount["readOnly"]
    assert "subPath" not in mount, "a subPath is not updated when the Secret changes"
    given = environment(spec)
    for variable, path in FILES[secret].items():
        assert given[variable] == path
        assert f"{path}/".startswith(f"{mount['mountPath']}/")


@pytest.mark.parametrize("name", ["shop-orderfleet-operator", "shop-orderfleet-api"])
def test_address_for_notifications_is_a_separate_file(helm, name):
    spec = pod(helm.template("orderfleet", PRODUCT["everything"]), name)
    (volume,) = [each for each in spec["volumes"] if each.get("secret", {}).get("secretName") == "record-itself"]
    assert volume["secret"]["items"] == [{"key": "url", "path": "url"}]
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert mount["mountPath"] == "/etc/orderfleet/database-listen"
    assert "subPath" not in mount, "a subPath is not updated when the Secret changes"
    assert environment(spec)["ORDERFLEET_DATABASE_LISTEN_URL_FILE"] == "/etc/orderfleet/database-listen/url"


@pytest.mark.parametrize("name", EVERYWHERE)
def test_servers_are_verified(helm, name):
    given = environment(pod(helm.template("orderfleet", PRODUCT["everything"]), name))
    assert (given["PGSSLMODE"], given["TEMPORAL_TLS"]) == ("verify-full", "true")
    assert given["ORDERFLEET_ENCRYPTION_KEY_ID"] == "k2"


def test_only_named_secrets_are_mounted(helm):
    objects = helm.template("orderfleet")
    for name in EVERYWHERE:
        spec = pod(objects, name)
        secrets = [each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each]
        assert secrets == ["orderfleet-database"]
        named = {variable for named in FILES.values() for variable in named} & set(environment(spec))
        assert named == {"ORDERFLEET_DATABASE_URL_FILE"}


def test_keys_are_mounted_before_the_key_id_is_set(helm):
    objects = helm.template("orderfleet", {"encryption": {"keysSecret": "keys"}})
    for name in ROLES:
        given = environment(pod(objects, name))
        assert given["ORDERFLEET_ENCRYPTION_KEYS_DIR"] == "/etc/orderfleet/encryption"
        assert "ORDERFLEET_ENCRYPTION_KEY_ID" not in given
