"""Alerts, dashboards and runbooks name only existing metrics and each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from orderfleet.observability.metrics import CATALOG
from orderfleet_local.stack import paths

DEPLOY = paths.checkout() / "deploy"
RULES = DEPLOY / "rules" / "orderfleet.yaml"
RUNBOOKS = DEPLOY / "docs" / "runbooks"
QUERIES = [RULES, *sorted((DEPLOY / "dashboards").glob("*.json"))]
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def alerts() -> dict[str, dict[str, str]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule}


def test_alerts_and_runbooks_correspond():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())
    for alert, texts in alerts().items():
        assert texts["runbook"] == f"deploy/docs/runbooks/{alert}.md"
        assert (RUNBOOKS / f"{alert}.md").read_text().startswith(f"# {alert}\n")


@pytest.mark.parametrize("file", QUERIES, ids=lambda file: file.name)
def test_every_metric_in_a_query_is_declared(file: Path):
    exposed = {metric.name + suffix for metric in CATALOG for suffix in SUFFIXES[metric.kind]}
    queried = set(re.findall(r"\borderfleet_[a-z_]+\b", file.read_text()))
    assert queried <= exposed
    assert queried


def test_every_metric_in_a_runbook_is_declared():
    exposed = {metric.name + suffix for metric in CATALOG for suffix in ("", *SUFFIXES[metric.kind])}
    for runbook in RUNBOOKS.glob("*.md"):
        assert set(re.findall(r"\borderfleet_[a-z_]+\b", runbook.read_text())) <= exposed, runbook
