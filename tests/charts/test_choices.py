"""An installation must choose the API's authentication, the payment provider and the carrier."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from charts.value_sets import PRODUCT
from orderfleet_local.stack import paths

CHOSEN: dict[str, Any] = yaml.safe_load((paths.checkout() / "tests/charts/chosen.yaml").read_text())


def container(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    pod = pod_of(objects, name)
    return dict(pod["containers"][0])


def pod_of(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [
        each
        for each in objects
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", f"shop-orderfleet-{name}")
    ]
    return dict(found["spec"]["template"]["spec"])


def given(objects: list[dict[str, Any]], name: str, *prefixes: str) -> dict[str, str]:
    variables = container(objects, name)["env"]
    return {each["name"]: each["value"] for each in variables if each["name"].startswith(prefixes)}


def files(objects: list[dict[str, Any]], name: str) -> dict[str, str]:
    """Mount path of each Secret of a pod."""
    secrets = {
        each["name"]: each["secret"]["secretName"] for each in pod_of(objects, name)["volumes"] if "secret" in each
    }
    mounts = container(objects, name)["volumeMounts"]
    assert all(each["readOnly"] and "subPath" not in each for each in mounts if each["name"] in secrets)
    return {secrets[each["name"]]: each["mountPath"] for each in mounts if each["name"] in secrets}


@pytest.mark.parametrize("left_out", ["api.auth", "providers.payment", "providers.carrier"])
def test_chart_without_a_required_choice_is_not_rendered(helm, left_out):
    group, _, part = left_out.partition(".")
    values = {**CHOSEN, group: {key: value for key, value in CHOSEN[group].items() if key != part}}
    result = helm.run("template", "shop", "charts/orderfleet", values=values)
    assert result.returncode != 0
    assert f"{left_out}.{'mode' if group == 'api' else 'adapter'} isn't set: choose `" in result.stderr


def test_disabled_part_needs_no_choice(helm):
    values = {"api": {"enabled": False}, "workers": {"orders": None, "shipping": None}}
    result = helm.run("template", "shop", "charts/orderfleet", values=values)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"api": {"auth": {"mode": "tokens"}}}, "api.auth.tokensSecret.name"),
        ({"api": {"auth": {"mode": "jwt"}}}, "api.auth.jwt.jwksUrl"),
        ({"api": {"auth": {"mode": "jwt", "jwt": {"jwksUrl": "https://id", "issuer": "id"}}}}, "api.auth.jwt.audience"),
        ({"encryption": {"keyId": "k1"}}, "encryption.keysSecret"),
        ({"migration": {"runtimeRole": "run"}}, "migration.urlSecret.name"),
        ({"prune": {"enabled": True}}, "prune.olderThan"),
        ({"codec": {"enabled": True}}, "encryption.keysSecret"),
        ({"providers": {"payment": {"adapter": "http"}}}, "providers.payment.url"),
        ({"providers": {"carrier": {"adapter": "http"}}}, "providers.carrier.url"),
        ({"providers": {"payment": {"adapter": "stripe"}}}, "providers.payment.tokenSecret.name"),
    ],
)
def test_choice_without_its_values_is_rejected(helm, values, missing):
    assert f"{missing} isn't set" in helm.render_error("orderfleet", values)


def test_tokens_are_files_that_only_the_api_has(helm):
    objects = helm.template("orderfleet", PRODUCT["everything"])
    assert given(objects, "api", "ORDERFLEET_API", "ORDERFLEET_STRIPE") == {
        "ORDERFLEET_API_AUTH": "tokens",
        "ORDERFLEET_API_TOKENS_FILE": "/etc/orderfleet/api/tokens/tokens.yaml",
        "ORDERFLEET_API_CARRIER_TOKENS_FILE": "/etc/orderfleet/api/carrier/list.yaml",
        "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": "/etc/orderfleet/api/stripe/whsec",
    }
    mounted = files(objects, "api")
    assert mounted["api-tokens"] == "/etc/orderfleet/api/tokens"
    assert mounted["carrier-tokens"] == "/etc/orderfleet/api/carrier"
    assert mounted["stripe-webhook"] == "/etc/orderfleet/api/stripe"
    for name in ("orders-worker", "shipping-worker", "operator"):
        assert not {"api-tokens", "carrier-tokens", "stripe-webhook"} & set(files(objects, name))


def test_values_of_an_identity_provider_are_variables_of_the_api(helm):
    objects = helm.template("orderfleet", PRODUCT["callers of an identity provider"])
    assert given(objects, "api", "ORDERFLEET_API") == {
        "ORDERFLEET_API_AUTH": "jwt",
        "ORDERFLEET_API_JWKS_URL": "https://id.example/keys",
        "ORDERFLEET_API_JWT_ISSUER": "https://id.example",
        "ORDERFLEET_API_JWT_AUDIENCE": "orders",
        "ORDERFLEET_API_JWT_ROLES_CLAIM": "roles",
    }
    assert set(files(objects, "api")) == {"orderfleet-database"}


def test_only_workers_have_the_providers_secrets(helm):
    objects = helm.template("orderfleet", PRODUCT["everything"])
    for name in ("orders-worker", "shipping-worker"):
        assert given(objects, name, "ORDERFLEET_PAYMENT", "ORDERFLEET_CARRIER") == {
            "ORDERFLEET_PAYMENT_PROVIDER": "http",
            "ORDERFLEET_PAYMENT_URL": "https://pay.example/v1",
            "ORDERFLEET_PAYMENT_TOKEN_FILE": "/etc/orderfleet/providers/payment/token",
            "ORDERFLEET_PAYMENT_CA_FILE": "/etc/orderfleet/providers/payment-ca/ca.crt",
            "ORDERFLEET_PAYMENT_TIMEOUT": "1s",
            "ORDERFLEET_CARRIER": "http",
            "ORDERFLEET_CARRIER_URL": "http://carrier",
            "ORDERFLEET_CARRIER_TOKEN_FILE": "/etc/orderfleet/providers/carrier/t",
            "ORDERFLEET_CARRIER_CA_FILE": "/etc/orderfleet/providers/carrier-ca/ca.crt",
        }
        mounted = files(objects, name)
        assert mounted["payment-token"] == "/etc/orderfleet/providers/payment"
        assert mounted["carrier"] == "/etc/orderfleet/providers/carrier"
        assert mounted["payment-ca"] == "/etc/orderfleet/providers/payment-ca"
        assert mounted["authorities"] == "/etc/orderfleet/providers/carrier-ca"
    for name in ("api", "operator"):
        assert not given(objects, name, "ORDERFLEET_PAYMENT", "ORDERFLEET_CARRIER")
        assert not {"payment-token", "carrier", "payment-ca", "authorities"} & set(files(objects, name))
