"""The set-up of Stripe on Kubernetes works as `providers.md` prints it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.helm import Helm
from charts.test_choices import container, given, pod_of
from support.backing import Kubernetes
from support.documents import PROVIDERS, blocks, commands, files
from support.stripe_shop import documented_settings

KEYS = {"api-key": "rk_live_1", "webhook-secrets": "whsec_1"}
PATHS = {"ORDERFLEET_PAYMENT_TOKEN_FILE": "api-key", "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": "webhook-secrets"}
ATTEMPTS = {"ORDERFLEET_CHARGE_TIMEOUT", "ORDERFLEET_CAPTURE_TIMEOUT", "ORDERFLEET_REFUND_TIMEOUT"}


def mounted(objects: list[dict[str, Any]], name: str, path: str) -> tuple[str, str]:
    """The Secret and the entry of it that a pod has at a path."""
    folder, _, entry = path.rpartition("/")
    (volume,) = [each["name"] for each in container(objects, name)["volumeMounts"] if each["mountPath"] == folder]
    (secret,) = [each["secret"]["secretName"] for each in pod_of(objects, name)["volumes"] if each["name"] == volume]
    return secret, entry


def test_documented_secrets_and_values_are_the_documented_settings(
    helm: Helm, kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in KEYS.items():
        Path(name).write_text(content)
    creating = [each for block in blocks(PROVIDERS) for each in commands(block) if each.startswith("kubectl create")]
    for command in creating:
        kubernetes.kubectl(*shlex.split(command)[1:])
    objects = helm.template("orderfleet", yaml.safe_load(files(PROVIDERS)["stripe-values.yaml"]))
    settings, seen = documented_settings(), {}
    for name in ("orders-worker", "shipping-worker", "api", "operator"):
        variables = given(objects, name, *settings)
        assert variables.keys() >= ATTEMPTS
        for variable, entry in PATHS.items():
            if path := variables.pop(variable, ""):
                secret, key = mounted(objects, name, path)
                stored = kubernetes.kubectl(
                    "get", "secret", secret, "-o", f'go-template={{{{index .data "{key}" | base64decode}}}}'
                )
                assert (key, stored) == (entry, KEYS[entry])
                seen[variable] = name
        assert variables.items() <= settings.items()
    assert seen == {"ORDERFLEET_PAYMENT_TOKEN_FILE": "shipping-worker", "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": "api"}
    worker = given(objects, "orders-worker", *settings)
    assert worker.keys() >= settings.keys() - {"ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE"}
