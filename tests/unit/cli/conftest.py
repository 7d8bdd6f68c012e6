"""Runs the command line in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from orderfleet.cli import main as entry
from orderfleet.cli.errors import variables
from orderfleet.settings import Settings
from orderfleet_local.stack import paths


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """Unset all settings, and hide the stack of this checkout."""
    for field in Settings.model_fields:
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(paths.STATE_VARIABLE, str(tmp_path / "no-stack"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def orderfleet(monkeypatch, capsys) -> Callable[..., Result]:
    # `exit_process` would end the process of the tests.
    monkeypatch.setattr(entry, "exit_process", sys.exit)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["orderfleet", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run
