"""The operator with minimal rights, and with rotated credentials."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.factories import order_manifest
from support.operator_env import OperatorTestEnv, condition, ended, step
from support.polling import eventually

RIGHTS = [
    {"apiGroups": ["orderfleet.dev"], "resources": ["orders"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": ["orderfleet.dev"], "resources": ["orders/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]


def _rbac(namespace: str) -> list[dict]:
    account = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}},
        *({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}} for name in ("first", "second")),
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "operator"}, "rules": RIGHTS},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "operator"},
            "subjects": [account],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "operator"},
        },
    ]


class Account:
    """A service account's kubeconfig, whose token can be replaced and revoked."""

    def __init__(self, cluster, path: Path) -> None:
        self._cluster = cluster
        self.path = path

    def log_in(self, secret: str) -> None:
        """Write a kubeconfig with a token that is valid while the Secret exists."""
        token = self._cluster.kubectl(
            "create", "token", "operator", "--bound-object-kind=Secret", f"--bound-object-name={secret}"
        )
        config = json.loads(self._cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token.strip()}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(config))
        new.replace(self.path)

    def revoked(self, config: str) -> bool:
        """Whether the API server rejects the token of a kubeconfig."""
        old = self.path.with_suffix(".old")
        old.write_text(config)
        command = [str(self._cluster.program), "--kubeconfig", str(old), "-n", self._cluster.namespace, "get", "ofo"]
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode != 0


@pytest.fixture
async def account(operator_env: OperatorTestEnv, tmp_path, monkeypatch) -> Account:
    await operator_env.apply(*_rbac(operator_env.cluster.namespace))
    made = Account(operator_env.cluster, tmp_path / "kubeconfig")
    made.log_in("first")
    monkeypatch.setenv("KUBECONFIG", str(made.path))
    return made


async def test_operator_with_three_rbac_rules_ships_order(operator_env, workers, account):
    name = operator_env.name()
    async with operator_env.operator() as operator:
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.patch(name, approved=True)
        done = await operator_env.until(name, ended)
        assert operator.not_ready() is None
    assert condition(done, "Ready") == ("True", "Shipped")
    assert (await operator_env.reasons(name))[0] == "Started"


@pytest.mark.slow
async def test_rotated_credentials_are_read_again(operator_env, workers, account):
    before, after = operator_env.name(), operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(before))
        await operator_env.until(before, lambda order: step(order) == "manual_review")
        old = account.path.read_text()
        account.log_in("second")
        await operator_env.kubectl("delete", "secret", "first")
        # The API server caches a token's validity for ten seconds.
        await eventually(lambda: account.revoked(old), seconds=60)
        await operator_env.patch(before, approved=True)
        await operator_env.apply(order_manifest(after, approved=True))
        for name in (before, after):
            assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
