"""Reads one Order from Kubernetes, for `order describe`.

It runs kubectl against the local stack's cluster if the database in use is the local stack's, else against the
user's current context. It must never change anything.
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

_TIMEOUT: Final = 5
"""Seconds that the API server has to answer; kubectl itself gets twice as long."""


class KubernetesUnavailable(OrderfleetError):
    """The Order can't be read from Kubernetes; the message says why."""


class KubernetesOrder(Contract):
    """An Order: where it is, its generation and its status."""

    namespace: str
    name: str
    generation: int
    status: dict[str, Any]


def find_order(owner: str, settings: Settings) -> KubernetesOrder:
    """Return the Order that an order was started from.

    Args:
        owner: its `namespace/name`; empty for an order that was started outside Kubernetes.
        settings: name the database, which shows whether the local stack is in use.

    Raises:
        KubernetesUnavailable: there is no such Order, no kubeconfig, or the cluster doesn't answer.
    """
    namespace, _, name = owner.partition("/")
    if not name:
        raise KubernetesUnavailable("the order was started outside Kubernetes")
    kubectl = _kubectl(settings)
    resource = f"{CRD_PLURAL}.{CRD_GROUP}"
    text = _run([*kubectl, "get", resource, name, "-n", namespace, "-o", "json", f"--request-timeout={_TIMEOUT}s"])
    order = json.loads(text)
    return KubernetesOrder(
        namespace=namespace, name=name, generation=order["metadata"]["generation"], status=order.get("status") or {}
    )


def _kubectl(settings: Settings) -> list[str]:
    """Return kubectl with the options that select the cluster."""
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
        raise KubernetesUnavailable("there is no kubeconfig; set KUBECONFIG") from None
    return [program]


def _run(command: list[str]) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - the user's kubectl
            command, capture_output=True, text=True, check=False, timeout=2 * _TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise KubernetesUnavailable(f"kubectl did not answer within {2 * _TIMEOUT} s") from None
    if result.returncode != 0:
        raise KubernetesUnavailable((result.stderr.strip() or "kubectl failed").splitlines()[-1])
    return result.stdout
