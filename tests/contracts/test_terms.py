"""The check of terms finds a word that the project does not use, and reads no quotations."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from orderfleet_local.stack import paths

PROGRAM = paths.checkout() / "deploy" / "tools" / "check_terms.py"
_spec = importlib.util.spec_from_file_location("check_terms", PROGRAM)
assert _spec is not None
assert _spec.loader is not None
check_terms = importlib.util.module_from_spec(_spec)
sys.modules["check_terms"] = check_terms
_spec.loader.exec_module(check_terms)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def test_error_is_told_once(): ...", "_told_"),
        ("One line.\nThe order is in the record.", "the record"),
        ("Whoever approves it", "Whoever"),
        ("the order was cancelled", "cancelled"),
        ("class OrderDesk:", "OrderDesk"),
    ],
)
def test_word_that_the_project_does_not_use_is_found_on_its_line(text: str, word: str):
    (found,) = check_terms.violations(text)
    assert (found.word, found.line) == (word, len(text.splitlines()))


@pytest.mark.parametrize(
    "text",
    [
        "Helm prints `nobody was told`.",
        "https://example.com/anew",
        "assert task.cancelled()",
        "error.status is RPCStatusCode.CANCELLED",
        "the recorded histories, and the record of a change",
        "The carrier goes on strike.",
    ],
)
def test_quotation_or_term_of_the_field_is_not_found(text: str):
    assert not list(check_terms.violations(text))


def test_planted_word_fails_the_program_which_names_the_term(tmp_path: Path):
    for name, text in [
        ("deploy/tools/check_terms.py", PROGRAM.read_text()),
        ("tests/test_orders.py", "# It starts anew.\n"),
        ("tests/histories/0001-first/life.txt", "anew\n"),
        (".venv/module.py", "# anew\n"),
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(tmp_path / "deploy/tools/check_terms.py")]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    first, *rest = failed.stdout.splitlines()
    assert first == "tests/test_orders.py:1: 'anew': write again"
    assert rest == ["terms to replace: 1; see deploy/docs/contributing.md#terms"]
    (tmp_path / "tests/test_orders.py").write_text("# It starts again.\n")
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0
