"""Requests of a service account, from the audit log of the API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


class Right(NamedTuple):
    """A verb on a resource, as in a rule of RBAC."""

    group: str
    resource: str
    verb: str


def flags(folder: Path) -> tuple[str, ...]:
    """Flags of an API server that logs each request of service accounts before it responds."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(_POLICY))
    return (f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}", "--audit-log-mode=blocking")


def rights_in(rules: list[dict[str, Any]]) -> set[Right]:
    """Every right that RBAC rules grant."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class AuditedRequests:
    """Requests of one account."""

    def __init__(self, folder: Path, account: str) -> None:
        """Read the log of a server that was started with `flags(folder)`; `account` is `namespace:name`."""
        lines = (json.loads(line) for line in (folder / "audit.log").read_text().splitlines())
        self._requests = [each for each in lines if each["user"]["username"] == f"system:serviceaccount:{account}"]
        assert self._requests, f"{account} made no request"

    def rights(self) -> set[Right]:
        """The used rights."""
        return {
            Right(about.get("apiGroup", ""), "/".join(filter(None, map(about.get, ("resource", "subresource")))), verb)
            for verb, about in ((each["verb"], each["objectRef"]) for each in self._requests if "objectRef" in each)
            if "resource" in about
        }

    def denied(self) -> list[str]:
        """Requests that no rule allowed."""
        return [f"{each['verb']} {each['requestURI']}" for each in self._requests if _decision(each) != "allow"]


def _decision(request: dict[str, Any]) -> str:
    return str(request["annotations"]["authorization.k8s.io/decision"])
