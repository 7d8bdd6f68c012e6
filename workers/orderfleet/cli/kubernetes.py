"""An Order as Kubernetes has it, for commands that look at an order from every side.

`order describe` calls it. It uses the real kubectl: the local stack's cluster when the record is the
local stack's too, else whatever the user's own kubectl points at. It must never change anything.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

from orderfleet.cli.local_stack import stack_kubectl
from orderfleet.domain.base import Contract
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL

if TYPE_CHECKING:
    from orderfleet.settings import Settings

_SECONDS: Final = 5


class KubernetesUnavailable(OrderfleetError):
    """Kubernetes can't be looked at from here; the message says why."""


class KubernetesOrder(Contract):
    """An Order and what its status says."""

    namespace: str
    name: str
    generation: int
    status: dict[str, Any]


def find_order(owner: str, settings: Settings) -> KubernetesOrder:
    """The Order that declared an order.

    Args:
        owner: its `namespace/name`; empty for an order that was made outside Kubernetes.
        settings: tell whether the local stack is meant.

    Raises:
        KubernetesUnavailable: there is none, or no kubeconfig is at hand, or the cluster doesn't answer.
    """
    namespace, _, name = owner.partition("/")
    if not name:
        raise KubernetesUnavailable("the order was made outside Kubernetes")
    kubectl = _kubectl(settings)
    resource = f"{CRD_PLURAL}.{CRD_GROUP}"
    text = _run([*kubectl, "get", resource, name, "-n", namespace, "-o", "json", f"--request-timeout={_SECONDS}s"])
    order = json.loads(text)
    return KubernetesOrder(
        namespace=namespace, name=name, generation=order["metadata"]["generation"], status=order.get("status") or {}
    )


def _kubectl(settings: Settings) -> list[str]:
    """The program and the options that lead to the cluster."""
    from orderfleet.settings.database_address import database_address  # noqa: PLC0415 - `--help` needs none

    local = stack_kubectl(database_address(settings)())
    if local:
        return local
    program = shutil.which("kubectl")
    if program is None:
        raise KubernetesUnavailable("kubectl is not on the PATH")
    try:
        _run([program, "config", "current-context"])
    except KubernetesUnavailable:
        raise KubernetesUnavailable("no kubeconfig is at hand; set KUBECONFIG") from None
    return [program]


def _run(command: list[str]) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - the user's kubectl
            command, capture_output=True, text=True, check=False, timeout=2 * _SECONDS
        )
    except subprocess.TimeoutExpired:
        raise KubernetesUnavailable(f"kubectl did not answer within {2 * _SECONDS} s") from None
    if result.returncode != 0:
        raise KubernetesUnavailable((result.stderr.strip() or "kubectl failed").splitlines()[-1])
    return result.stdout
