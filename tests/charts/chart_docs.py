"""Generates a chart's `values.schema.json`, the table in its README, and its copies of rules and dashboards.

`make chart-docs` runs it; `test_docs.py` compares the files. A value with a `# --` comment is documented, and its
default gives its type. The schema rejects a name that a group of values does not have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orderfleet.cli.errors import variables
from orderfleet.settings import Settings
from orderfleet.settings.processes import ApiAuth
from orderfleet_local.stack import paths

CHARTS = paths.checkout() / "charts"
BEGIN, END = "<!-- values: begin; `make chart-docs` generates it -->", "<!-- values: end -->"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):")
_NAME = "^[a-z]([a-z0-9-]{0,14}[a-z0-9])?$"
_COMMENT = re.compile(r"^ *# -- (?P<text>.+)$")

SET_BY_VALUES = {
    "ORDERFLEET_DATABASE_URL_FILE": "database.urlSecret",
    "ORDERFLEET_DATABASE_LISTEN_URL_FILE": "database.listenSecret",
    "ORDERFLEET_DATABASE_RUNTIME_ROLE": "migration.runtimeRole",
    "ORDERFLEET_PRUNE_AFTER": "prune.olderThan",
    "ORDERFLEET_CODEC_ORIGINS": "codec.origins",
    "ORDERFLEET_TEMPORAL_ADDRESS": "temporal.address",
    "ORDERFLEET_TEMPORAL_NAMESPACE": "temporal.namespace",
    "ORDERFLEET_ORDERS_TASK_QUEUE": "queues.orders",
    "ORDERFLEET_SHIPPING_TASK_QUEUE": "queues.shipping",
    "ORDERFLEET_DRAIN_TIMEOUT": "drainSeconds",
    "ORDERFLEET_WORKER_DEPLOYMENT": "versioning.deployment",
    "ORDERFLEET_WORKER_BUILD_ID": "image.tag",
    "ORDERFLEET_WORKER_ACTIVITY_SLOTS": "workerDefaults.slots.activities",
    "ORDERFLEET_WORKER_WORKFLOW_SLOTS": "workerDefaults.slots.workflows",
    "ORDERFLEET_TEMPORAL_METRICS_PORT": "metrics.sdkPort",
    "ORDERFLEET_OPERATOR_NAMESPACES": "operator.namespaces",
    "ORDERFLEET_OPERATOR_SELECTOR": "operator.shards",
    "ORDERFLEET_OPERATOR_OWN_NAMESPACE": "(the release's namespace)",
    "ORDERFLEET_OPERATOR_NAMESPACE_DELETION_TIMEOUT": "operator.namespaceDeletionSeconds",
    "ORDERFLEET_OPERATOR_CONCURRENCY": "operator.concurrency",
    "ORDERFLEET_ENCRYPTION_KEYS_DIR": "encryption.keysSecret",
    "ORDERFLEET_ENCRYPTION_KEY_ID": "encryption.keyId",
    "ORDERFLEET_API_AUTH": "api.auth.mode",
    "ORDERFLEET_API_TOKENS_FILE": "api.auth.tokensSecret",
    "ORDERFLEET_API_CARRIER_TOKENS_FILE": "api.auth.carrierTokensSecret",
    "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": "api.auth.stripeWebhookSecret",
    "ORDERFLEET_API_JWKS_URL": "api.auth.jwt.jwksUrl",
    "ORDERFLEET_API_JWT_ISSUER": "api.auth.jwt.issuer",
    "ORDERFLEET_API_JWT_AUDIENCE": "api.auth.jwt.audience",
    "ORDERFLEET_API_JWT_ROLES_CLAIM": "api.auth.jwt.rolesClaim",
    "ORDERFLEET_PAYMENT_PROVIDER": "providers.payment.adapter",
    "ORDERFLEET_PAYMENT_URL": "providers.payment.url",
    "ORDERFLEET_PAYMENT_TOKEN_FILE": "providers.payment.tokenSecret",
    "ORDERFLEET_PAYMENT_CA_FILE": "providers.payment.caSecret",
    "ORDERFLEET_CARRIER_CA_FILE": "providers.carrier.caSecret",
    "ORDERFLEET_TEMPORAL_API_KEY_FILE": "temporal.apiKeySecret",
    "ORDERFLEET_PAYMENT_TIMEOUT": "providers.payment.timeout",
    "ORDERFLEET_CARRIER": "providers.carrier.adapter",
    "ORDERFLEET_CARRIER_URL": "providers.carrier.url",
    "ORDERFLEET_CARRIER_TOKEN_FILE": "providers.carrier.tokenSecret",
    "ORDERFLEET_CARRIER_TIMEOUT": "providers.carrier.timeout",
}
"""Settings with an own value in the chart, which `settings` must not name."""
FIXED = {f"ORDERFLEET_{part}_{what}" for part in ("HEALTH", "API", "CODEC") for what in ("HOST", "PORT")}
"""Settings whose defaults the templates rely on."""
SECRET = {"ORDERFLEET_DATABASE_URL", "ORDERFLEET_DATABASE_LISTEN_URL"}
"""Settings with a password. Values are readable in the release, so these are files."""

COPIES = {"files/rules": ("deploy/rules", "*.yaml"), "files/dashboards": ("deploy/dashboards", "*.json")}
"""Folders of both charts and the files that are copied into them, because Helm reads only files of a chart."""


@dataclass(frozen=True)
class Value:
    """A documented value of a chart."""

    path: tuple[str, ...]
    default: Any
    text: str


def values(chart: str) -> dict[str, Any]:
    """A chart's default values."""
    content: dict[str, Any] = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    return content


def documented(chart: str) -> Iterator[Value]:
    """Every value with a comment, in the order of the file."""
    defaults = values(chart)
    above: list[tuple[int, str]] = []
    text = ""
    for line in (CHARTS / chart / "values.yaml").read_text().splitlines():
        if comment := _COMMENT.match(line):
            text = comment["text"]
        elif key := _KEY.match(line):
            indent = len(key["indent"])
            above = [*((i, k) for i, k in above if i < indent), (indent, key["key"])]
            if text:
                path = tuple(k for _, k in above)
                yield Value(path, _at(defaults, path), text)
            text = ""


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def settings_allowed() -> list[str]:
    """The variables that a chart's `settings` may name."""
    ours = {variables(field)[0] for field in Settings.model_fields}
    return sorted(ours - set(SET_BY_VALUES) - FIXED - SECRET)


def _choices() -> dict[str, dict[str, Any]]:
    scalar = {"type": ["string", "number", "boolean"]}
    kind = {"enum": ["", "hpa", "keda"]}
    disruptions = {"type": ["integer", "string", "null"]}
    url = {"type": "string", "pattern": r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$"}
    timeout = {"type": "string", "pattern": r"^(\d+(h|m|s|ms))*$"}
    part_of_label = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
    label = {"type": "string", "pattern": f"^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{part_of_label}$"}
    shard = {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{part_of_label}$"}}
    return {
        "settings": {"type": "object", "propertyNames": {"enum": settings_allowed()}, "additionalProperties": scalar},
        "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
        "versioning.deployment": {"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9_-]{0,62})?$"},
        "versioning.others": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "drainSeconds": {"type": "integer", "minimum": 0},
        "operator.namespaceDeletionSeconds": {"type": "integer", "minimum": 1},
        "workerDefaults.autoscaling.kind": kind,
        "workerDefaults.autoscaling.minReplicas": {"type": "integer", "minimum": 1},
        "workerDefaults.slots.workflows": {"type": "integer", "minimum": 2},
        "workerDefaults.maxUnavailable": disruptions,
        "api.maxUnavailable": disruptions,
        "operator.shards": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "label": label,
                "operators": {
                    "type": "object",
                    "propertyNames": {"pattern": _NAME},
                    "additionalProperties": shard,
                },
            },
        },
        "api.auth.mode": {"enum": ["", *ApiAuth]},
        "api.auth.jwt.jwksUrl": {"type": "string", "pattern": "^(https?://.*)?$"},
        **{f"providers.{part}.url": url for part in ("payment", "carrier")},
        **{f"providers.{part}.timeout": timeout for part in ("payment", "carrier")},
        "api.service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "prune.olderThan": timeout,
        "migration.wait": {"type": "string", "pattern": r"^(\d+(h|m|s|ms))+$"},
    }


def schema(chart: str) -> dict[str, Any]:
    """Return the JSON schema of a chart's values."""
    choices = _choices() if chart == "orderfleet" else {}
    root = _group(values(chart), (), {value.path: value for value in documented(chart)}, choices)
    if chart == "orderfleet":
        worker = json.loads(json.dumps(root["properties"]["workerDefaults"]))
        worker["properties"]["serves"] = {"enum": ["orders", "shipping", "all"]}
        root["properties"]["workers"] = {
            "type": "object",
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {"oneOf": [{"type": "null"}, {**worker, "required": ["serves"]}]},
        }
    root["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _group(tree: dict[str, Any], path: tuple[str, ...], known: dict, choices: dict) -> dict[str, Any]:
    properties = {}
    for key, default in tree.items():
        here = (*path, key)
        if here in known:
            properties[key] = choices.get(".".join(here), _of(default)) | {"description": known[here].text}
        else:
            properties[key] = _group(default, here, known, choices) if isinstance(default, dict) else _of(default)
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of(default: Any) -> dict[str, Any]:
    kinds = {bool: "boolean", int: "integer", str: "string", dict: "object", list: "array"}
    return {"type": kinds[type(default)]}


def table(chart: str) -> str:
    """Return the table of a chart's values, with its marks."""
    lines = ["| value | default | |", "|---|---|---|"]
    for value in documented(chart):
        default = json.dumps(value.default, ensure_ascii=False)
        lines.append(f"| `{'.'.join(value.path)}` | `{default}` | {value.text} |")
    return "\n".join([BEGIN, *lines, END])


def readme(chart: str) -> str:
    """Return a chart's README with the table as it should be."""
    text = (CHARTS / chart / "README.md").read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return before + table(chart) + after


def schema_text(chart: str) -> str:
    """Return the content of a chart's `values.schema.json`."""
    return json.dumps(schema(chart), indent=1, ensure_ascii=False) + "\n"


def files(chart: str) -> dict[Path, str]:
    """Return each file that is made, with the content it should have."""
    folder = CHARTS / chart
    made = {folder / "values.schema.json": schema_text(chart), folder / "README.md": readme(chart)}
    for place, (source, pattern) in COPIES.items():
        for file in sorted((paths.checkout() / source).glob(pattern)):
            made[folder / place / file.name] = file.read_text()
    return made


if __name__ == "__main__":
    for each in ("orderfleet", "orderfleet-dev"):
        for file, content in files(each).items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
