"""Runs Helm on the charts of this checkout. Each chart is rendered once per set of values."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from orderfleet_local.stack import paths


def documents(text: str) -> list[dict[str, Any]]:
    """Read YAML documents; the parser in C is ten times faster."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def _chosen(chart: str) -> tuple[str, ...]:
    """Options for the values without default that the product's chart requires."""
    return ("--values", "tests/charts/chosen.yaml") if chart == "orderfleet" else ()


class Helm:
    """The program, with the checkout as its folder."""

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
        """Render a chart as release `shop` in namespace `shop`, with values for its required choices."""
        key = json.dumps([chart, values])
        if key not in self._rendered:
            command = ("template", "shop", f"charts/{chart}", "--namespace", "shop", *_chosen(chart))
            result = self.run(*command, values=values)
            assert result.returncode == 0, result.stderr
            self._rendered[key] = result.stdout
        return documents(self._rendered[key])

    def render_error(self, chart: str, values: dict[str, Any]) -> str:
        """The error of rendering invalid values.

        Raises:
            AssertionError: the values were accepted.
        """
        result = self.run("template", "shop", f"charts/{chart}", *_chosen(chart), values=values)
        assert result.returncode != 0, "the values were accepted"
        return result.stderr


TEST = "shop-orderfleet-test"
"""Name of the chart's test pod."""


def pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    kinds = {"Deployment", "Job", "Pod"}
    (found,) = [each for each in objects if each["kind"] in kinds and each["metadata"]["name"] == name]
    spec: dict[str, Any] = found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"]
    return spec


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
