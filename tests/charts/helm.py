"""Helm on the charts of this checkout; each chart with each set of values is rendered once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from orderfleet_local.stack import paths


def documents(text: str) -> list[dict[str, Any]]:
    """Read YAML documents; the reader in C is ten times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def _chosen(chart: str) -> tuple[str, ...]:
    """Options with the choices that the product's chart makes for nobody."""
    return ("--values", "tests/charts/chosen.yaml") if chart == "orderfleet" else ()


class Helm:
    """The program, on the charts of this checkout."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._rendered: dict[str, str] = {}

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        given = yaml.safe_dump(values or {})
        command = [str(self.program), *arguments, *(("--values", "-") if values else ())]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=60, cwd=paths.checkout()
        )

    def template(self, chart: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Render a chart as release `shop` in namespace `shop`; what `values` don't choose is chosen for it."""
        key = json.dumps([chart, values])
        if key not in self._rendered:
            command = ("template", "shop", f"charts/{chart}", "--namespace", "shop", *_chosen(chart))
            result = self.run(*command, values=values)
            assert result.returncode == 0, result.stderr
            self._rendered[key] = result.stdout
        return documents(self._rendered[key])

    def refused(self, chart: str, values: dict[str, Any]) -> str:
        """Render values that must be refused; return the complaint."""
        result = self.run("template", "shop", f"charts/{chart}", *_chosen(chart), values=values)
        assert result.returncode != 0, "the values were accepted"
        return result.stderr
