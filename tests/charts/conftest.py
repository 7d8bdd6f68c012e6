"""Helm, for the tests of the charts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orderfleet.stack import paths
from orderfleet.stack.provision.ladder import provide

sys.path.insert(0, str(Path(__file__).parent))


class Helm:
    """The program, on the charts of this checkout."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        given = yaml.safe_dump(values or {})
        command = [str(self.program), *arguments, *(("--values", "-") if values else ())]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=60, cwd=paths.checkout()
        )

    def template(self, chart: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Render a chart as release `shop` in namespace `shop`."""
        result = self.run("template", "shop", f"charts/{chart}", "--namespace", "shop", values=values)
        assert result.returncode == 0, result.stderr
        return [document for document in yaml.safe_load_all(result.stdout) if document]

    def refused(self, chart: str, values: dict[str, Any]) -> str:
        """Render values that must be refused; return the complaint."""
        result = self.run("template", "shop", f"charts/{chart}", values=values)
        assert result.returncode != 0, "the values were accepted"
        return result.stderr


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(provide(["helm"])["helm"])
