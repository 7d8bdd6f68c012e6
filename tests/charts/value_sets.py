"""Sets of values for the chart tests; together they cover both states of every switch."""

from __future__ import annotations

from typing import Any

import yaml

from orderfleet_local.stack import paths

OPTIONAL_KINDS = {"ScaledObject", "PodMonitor", "PrometheusRule", "HTTPRoute"}
"""Kinds of other products, which an API server lacks without their definitions."""

PRODUCT: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "image": {"repository": "registry.example/orderfleet", "digest": "sha256:" + "a" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "database": {
            "listenSecret": "record-itself",
            "tls": {"secret": "postgres-tls", "clientCertificate": True},
        },
        "encryption": {"keysSecret": "orderfleet-encryption", "keyId": "k2"},
        "temporal": {
            "address": "cloud.example:7233",
            "apiKeySecret": {"name": "temporal-key"},
            "tls": {"enabled": True, "secret": "temporal-tls", "clientCertificate": True, "serverName": "cloud"},
        },
        "settings": {"ORDERFLEET_REVIEW_TIMEOUT": "48h", "ORDERFLEET_STEP_ATTEMPTS": 5},
        "workers": {
            "orders": {"serves": "orders", "autoscaling": {"kind": "hpa", "maxReplicas": 9}},
            "shipping": {
                "serves": "shipping",
                "autoscaling": {"kind": "keda", "authentication": "temporal"},
                "nodeSelector": {"disk": "ssd"},
            },
        },
        "operator": {
            "namespaces": ["shop", "outlet"],
            "shards": {"label": "region", "operators": {"eu": ["fr", "de"], "us": ["us"]}},
        },
        "providers": {
            "payment": {
                "adapter": "http",
                "url": "https://pay.example/v1",
                "tokenSecret": {"name": "payment-token"},
                "caSecret": "payment-ca",
                "timeout": "1s",
            },
            "carrier": {
                "adapter": "http",
                "url": "http://carrier",
                "tokenSecret": {"name": "carrier", "key": "t"},
                "caSecret": "authorities",
            },
        },
        "api": {
            "auth": {
                "mode": "tokens",
                "tokensSecret": {"name": "api-tokens"},
                "carrierTokensSecret": {"name": "carrier-tokens", "key": "list.yaml"},
                "stripeWebhookSecret": {"name": "stripe-webhook", "key": "whsec"},
            },
            "service": {"type": "NodePort", "nodePort": 30080},
            "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "orders-tls"},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["orders.example"]},
        },
        "migration": {
            "runtimeRole": "orderfleet_run",
            "urlSecret": {"name": "record-owner", "key": "address"},
            "tlsSecret": "owner-tls",
            "extraEnv": [{"name": "PGAPPNAME", "value": "owner"}],
        },
        "extraEnv": [{"name": "ORDERFLEET_LOG_LEVEL", "value": "debug"}],
        "prune": {"enabled": True, "olderThan": "2160h", "schedule": "0 1 * * 0"},
        "codec": {"enabled": True, "origins": ["https://temporal.example", "https://other.example"]},
        "networkPolicy": {"enabled": True},
        "metrics": {
            "podMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
            "dashboards": {"enabled": True},
        },
        "priorityClassName": "system-cluster-critical",
    },
    "two versions": {
        "image": {"tag": "0.2.0"},
        "versioning": {"deployment": "orderfleet", "others": ["0.1.0", "sha256:" + "b" * 64]},
        "workers": {"orders": {"serves": "orders", "autoscaling": {"kind": "hpa"}}},
    },
    "versions by their backlog": {
        "image": {"tag": "0.2.0"},
        "versioning": {"deployment": "orderfleet", "others": ["0.1.0"]},
        "workerDefaults": {"autoscaling": {"kind": "keda"}},
    },
    "one worker for all": {
        "workers": {"orders": None, "shipping": None, "both": {"serves": "all", "autoscaling": {"kind": "keda"}}},
        "metrics": {"sdkPort": 0},
    },
    "callers of an identity provider": {
        "api": {
            "auth": {
                "mode": "jwt",
                "jwt": {"jwksUrl": "https://id.example/keys", "issuer": "https://id.example", "audience": "orders"},
            }
        },
        "providers": {"payment": {"adapter": "acme"}, "carrier": {"timeout": "2s"}},
    },
    "workers alone": {
        "api": {"enabled": False},
        "operator": {"enabled": False},
        "migration": {"enabled": False},
        "crds": {"enabled": False},
        "workerDefaults": {"maxUnavailable": None},
    },
}

DEVELOPMENT: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": {
        "grafana": {"nodePort": 30300},
        "temporal": {"uiNodePort": 30233, "storage": ""},
        "postgres": {"storage": ""},
    },
    "two services": {part: {"enabled": False} for part in ("prometheus", "grafana", "traces", "collector")},
}

ON_KIND: dict[str, dict[str, Any]] = {
    chart: yaml.safe_load((paths.checkout() / "deploy/kind" / f"{values}.yaml").read_text())
    for chart, values in (("orderfleet", "product"), ("orderfleet-dev", "backing"))
}
"""The values of the kind cluster, by chart."""
