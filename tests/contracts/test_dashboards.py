"""The dashboards' files are what their code makes, and each panel can be read by a person."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from orderfleet_local.stack import paths

FOLDER = paths.checkout() / "deploy" / "dashboards"
RUNBOOKS = paths.checkout() / "deploy" / "docs" / "runbooks"
FILES = sorted(path.name for path in FOLDER.glob("*.json"))


def panels(file: str) -> list[dict[str, Any]]:
    told = json.loads((FOLDER / file).read_text())["panels"]
    return [panel for panel in told if panel["type"] != "row"]


def test_files_are_fresh(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    from make import generated  # noqa: PLC0415 - a script, found by its folder

    made = generated()
    assert sorted(made) == FILES
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, "renew it: .venv/bin/python deploy/dashboards/make.py"


@pytest.mark.parametrize("file", FILES)
def test_every_panel_has_a_unit_a_description_a_legend_and_a_runbook_that_exists(file: str):
    assert panels(file)
    for panel in panels(file):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert all(target["legendFormat"] for target in panel["targets"])
        for link in panel.get("links", ()):
            assert (RUNBOOKS / link["url"].rpartition("/")[2]).is_file()


@pytest.mark.parametrize("file", FILES)
def test_every_variable_changes_something_and_the_version_can_be_chosen_everywhere(file: str):
    told = json.loads((FOLDER / file).read_text())
    offered = {variable["name"] for variable in told["templating"]["list"]} - {"source", "runbooks"}
    asked = {name for name in ("namespace", "queue", "version") if f"${name}" in json.dumps(told["panels"])}
    assert offered == asked
    assert "version" in offered
    (annotation,) = told["annotations"]["list"]
    assert annotation["name"] == "Deployments"
    assert annotation["enable"]


@pytest.mark.parametrize("file", FILES)
def test_no_two_panels_lie_on_each_other(file: str):
    taken: set[tuple[int, int]] = set()
    for panel in panels(file):
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
