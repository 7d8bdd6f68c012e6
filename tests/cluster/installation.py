"""The releases that the cluster test installs, and their upgrades."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

from cluster import cluster_images as images
from cluster.cluster_tools import DELETED, NAMESPACE, Cluster

ROLES = tuple(f"orderfleet-{role}" for role in ("orders-worker", "shipping-worker", "operator", "api", "codec"))
TOKEN = secrets.token_urlsafe(32)
"""An API token of the role `read`, which may also decrypt payloads."""
_RUNTIME, _PASSWORD = "orderfleet_run", secrets.token_urlsafe(16)
"""The runtime role in Postgres. The development chart's role owns the tables."""


RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Labels of a namespace."""


def _secret(name: str, **entries: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries}


_KEYS = _secret("keys", k1=base64.b64encode(secrets.token_bytes(32)).decode())


PREPARED = (
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "ledger"}}
    | {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    _secret("database-runtime", url=f"postgresql://{_RUNTIME}:{_PASSWORD}@postgres:5432/orderfleet"),
    _KEYS,
    _secret("api-tokens", **{"tokens.yaml": json.dumps([{"name": "shop", "role": "read", "token": TOKEN}])}),
)
"""Objects that the values name and a user creates."""

_VOLUMES = {
    "extraVolumes": [{"name": "ledger", "persistentVolumeClaim": {"claimName": "ledger"}}],
    "extraVolumeMounts": [{"name": "ledger", "mountPath": "/ledger"}],
}
_SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
PRODUCT = {
    "fullnameOverride": "orderfleet",
    "image": {"repository": "orderfleet", "tag": images.PRODUCT.partition(":")[2]},
    # Slow, so that an activity is in progress when a pod is killed.
    "settings": {
        "ORDERFLEET_SIMULATED_LEDGER": "/ledger/ledger.db",
        "ORDERFLEET_SIMULATED_LATENCY": "300ms",
        # On a loaded machine a provider can time out three times in a row, which fails an order.
        "ORDERFLEET_STEP_ATTEMPTS": 10,
    },
    "encryption": {"keysSecret": "keys", "keyId": "k1"},
    "codec": {"enabled": True},
    "database": {"urlSecret": {"name": "database-runtime"}},
    "migration": {"runtimeRole": _RUNTIME, "urlSecret": {"name": "orderfleet-database"}},
    "prune": {"enabled": True, "olderThan": "2160h"},
    "providers": {"payment": {"adapter": "simulated"}, "carrier": {"adapter": "simulated"}},
    "workerDefaults": {"resources": _SMALL, **_VOLUMES},
    "operator": {"resources": _SMALL},
    "api": {"replicas": 1, "resources": _SMALL, "auth": {"mode": "tokens", "tokensSecret": {"name": "api-tokens"}}},
    "release": {"deadlineSeconds": 420},
    "test": {"deadlineSeconds": 300},
}
_FAST_DRAINAGE = {
    f"matching.wv.VersionDrainageStatus{name}": '"2s"' for name in ("VisibilityGracePeriod", "RefreshInterval")
}
"""Makes Temporal check the drainage more often than every three minutes."""
BACKING = {
    "temporal": {"image": images.TEMPORAL, "dynamicConfig": _FAST_DRAINAGE},
    "postgres": {"image": images.POSTGRES},
    **{part: {"enabled": False} for part in ("prometheus", "grafana", "traces", "collector")},
}


ANOTHER_OPERATOR = {
    "fullnameOverride": "another",
    "image": {"repository": "orderfleet", "tag": images.LAST.partition(":")[2]},
    "encryption": {"keysSecret": "keys", "keyId": "k1"},
    "database": {"urlSecret": {"name": "database-runtime"}},
    "temporal": {"address": f"temporal.{NAMESPACE}:7233"},
    "providers": {"payment": {"adapter": "simulated"}, "carrier": {"adapter": "simulated"}},
    "workers": {"orders": None, "shipping": None},
    "api": {"enabled": False},
    "migration": {"enabled": False},
    "crds": {"enabled": False},
    "operator": {"namespaces": [DELETED], "resources": _SMALL},
}
"""A release of an operator for its own namespace. It uses the workers of the first release."""


def write(cluster: Cluster, name: str, values: dict[str, Any]) -> str:
    """Write a values file; its path."""
    file = cluster.folder / f"{name}.json"
    file.write_text(json.dumps(values))
    return str(file)


def install(cluster: Cluster) -> None:
    """Create the runtime role as an administrator of Postgres, then install the product."""
    (pod,) = cluster.pods("postgres")
    create = f"create role {_RUNTIME} login password '{_PASSWORD}'"
    cluster.kubectl("exec", pod, "--", "psql", "-h", "/var/run/postgresql", "-U", "orderfleet", "-qc", create)
    values = write(cluster, "values", PRODUCT)
    cluster.helm("install", "shop", cluster.chart("orderfleet"), "-f", values, "--timeout", "8m")
    cluster.kubectl("wait", "--for=condition=Established", "crd/orders.orderfleet.dev", "--timeout=240s")
    cluster.wait_for_rollout(*ROLES)


def install_another_operator(cluster: Cluster) -> None:
    """Install a second operator in its own namespace."""
    address = f"postgresql://{_RUNTIME}:{_PASSWORD}@postgres.{NAMESPACE}:5432/orderfleet"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DELETED, "labels": RESTRICTED}})
    cluster.apply(*(in_namespace(each, DELETED) for each in (_secret("database-runtime", url=address), _KEYS)))
    values = write(cluster, "another", ANOTHER_OPERATOR)
    cluster.helm("install", "another", cluster.chart("orderfleet"), "-f", values, namespace=DELETED)
    status = ("rollout", "status", "deployment/another-operator", "--timeout=240s")
    cluster.kubectl("--namespace", DELETED, *status)


def in_namespace(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The object, in a namespace."""
    return {**body, "metadata": {**body["metadata"], "namespace": namespace}}


def upgrade(cluster: Cluster, *changes: str, roles: tuple[str, ...] = ROLES) -> None:
    """Upgrade the product with Helm's options, and wait until the roles have only new pods."""
    cluster.helm("upgrade", "shop", cluster.chart("orderfleet"), "-f", write(cluster, "values", PRODUCT), *changes)
    cluster.wait_for_rollout(*roles)


def upgrade_to(cluster: Cluster, image: str) -> None:
    """Upgrade the product to another version."""
    upgrade(cluster, "--set", f"image.tag={image.partition(':')[2]}")


def running_images(cluster: Cluster) -> set[str]:
    """The images of the product's pods, without those that terminate."""
    return {
        container["image"]
        for pod in cluster.get("pods", "-l", "app.kubernetes.io/name=orderfleet,app.kubernetes.io/component!=test")
        for container in pod["spec"]["containers"]
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")
    }
