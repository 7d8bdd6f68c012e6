"""Manifests of metrics-server, which a HorizontalPodAutoscaler needs. kind does not include it."""

from __future__ import annotations

from typing import Any

_SYSTEM = {"namespace": "kube-system"}
_LABELS = {"app": "metrics-server"}
_RBAC = "rbac.authorization.k8s.io"
_ACCOUNT = {"kind": "ServiceAccount", "name": "metrics-server", **_SYSTEM}
_RULES = [
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
]
_RESOLUTION = "15s"


def _bound(kind: str, name: str, role_kind: str, role: str, **metadata: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "roleRef": {"apiGroup": _RBAC, "kind": role_kind, "name": role},
        "subjects": [_ACCOUNT],
    }


def objects(image: str) -> list[dict[str, Any]]:
    """All objects of its own manifest, in `kube-system`."""
    container = {
        "name": "metrics-server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        # The nodes' certificates are self-signed, and metrics of a test cluster are not secret.
        "args": [
            *("--cert-dir=/tmp", "--secure-port=10260", "--kubelet-insecure-tls"),
            *("--kubelet-preferred-address-types=InternalIP", f"--metric-resolution={_RESOLUTION}"),
        ],
        "ports": [{"name": "https", "containerPort": 10260}],
    }
    pod = {"serviceAccountName": "metrics-server", "containers": [container]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "metrics-server", **_SYSTEM}},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:metrics-server"},
            "rules": _RULES,
        },
        _bound("ClusterRoleBinding", "system:metrics-server", "ClusterRole", "system:metrics-server"),
        _bound("ClusterRoleBinding", "metrics-server:delegator", "ClusterRole", "system:auth-delegator"),
        _bound("RoleBinding", "metrics-server", "Role", "extension-apiserver-authentication-reader", **_SYSTEM),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "metrics-server", **_SYSTEM},
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics-server", **_SYSTEM},
            "spec": {"selector": _LABELS, "ports": [{"port": 443, "targetPort": "https"}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": "metrics-server", **_SYSTEM},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
