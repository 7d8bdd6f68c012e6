"""The dashboards' files are generated from their code, and each panel has unit, description and legend."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from make import generated
from orderfleet.observability.metrics import CATALOG
from orderfleet_local.stack import paths

FOLDER = paths.checkout() / "deploy" / "dashboards"
RUNBOOKS = paths.checkout() / "deploy" / "docs" / "runbooks"
FILES = sorted(path.name for path in FOLDER.glob("*.json"))
NOT_SHOWN: dict[str, str] = {}
"""Metrics that no panel shows, each with the reason."""


def panels(file: str) -> list[dict[str, Any]]:
    rows_and_panels = json.loads((FOLDER / file).read_text())["panels"]
    return [panel for panel in rows_and_panels if panel["type"] != "row"]


def test_files_are_generated_from_the_code():
    dashboards = generated()
    assert sorted(dashboards) == FILES
    for name, text in dashboards.items():
        assert (FOLDER / name).read_text() == text, "run make generate"


@pytest.mark.parametrize("file", FILES)
def test_panel_has_unit_description_legend_and_existing_runbook(file: str):
    assert panels(file)
    for panel in panels(file):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert all(target["legendFormat"] for target in panel["targets"])
        for link in panel.get("links", ()):
            assert (RUNBOOKS / link["url"].rpartition("/")[2]).is_file()


@pytest.mark.parametrize("file", FILES)
def test_every_variable_is_used_and_each_dashboard_has_the_version(file: str):
    dashboard = json.loads((FOLDER / file).read_text())
    offered = {variable["name"] for variable in dashboard["templating"]["list"]} - {"source", "runbooks"}
    used = {name for name in ("namespace", "queue", "version") if f"${name}" in json.dumps(dashboard["panels"])}
    assert offered == used
    assert "version" in offered
    (annotation,) = dashboard["annotations"]["list"]
    assert annotation["name"] == "Deployments"
    assert annotation["enable"]


@pytest.mark.parametrize("file", FILES)
def test_panels_do_not_overlap(file: str):
    occupied: set[tuple[int, int]] = set()
    for panel in panels(file):
        position = panel["gridPos"]
        cells = {(position["x"] + x, position["y"] + y) for x in range(position["w"]) for y in range(position["h"])}
        assert not occupied & cells, panel["title"]
        occupied |= cells


def test_each_metric_is_shown_or_listed_with_a_reason():
    queries = " ".join(target["expr"] for file in FILES for panel in panels(file) for target in panel["targets"])
    queried = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\borderfleet_[a-z_]+\b", queries)}
    declared = {metric.name for metric in CATALOG}
    assert declared - queried == set(NOT_SHOWN), "show the metric on a dashboard, or list it in NOT_SHOWN"
