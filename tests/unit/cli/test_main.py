"""Help, exit statuses and messages of the command line, and what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orderfleet.cli.errors import Exit, Failed, UsageError, explain
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.services.errors import (
    OrderChangeRejected,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    TemporalUnavailable,
)
from orderfleet_local.stack import paths
from orderfleet_local.stack.errors import Busy, NoSuchPart, NotUp

COMMANDS = [
    "demo",
    "stack",
    "stack up",
    "stack status",
    "env",
    "order",
    "order start",
    "order status",
    "order query",
    "order list",
    "order describe",
    "order history",
    "order events",
    "order watch",
    "order approve",
    "order cancel",
    "order update-address",
    "order signal",
    "worker",
    "operator",
    "api",
    "migrate",
    "erase",
    "prune",
    "remove-finalizers",
    "codec",
    "settings",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples_or_exit_statuses(orderfleet, command):
    result = orderfleet(*command.split(), "--help")
    assert result.code == 0
    assert f"orderfleet {command}" in result.out
    assert "Examples:" in result.out or "Exit status:" in result.out


def test_help_lists_commands_and_exit_statuses(orderfleet):
    result = orderfleet("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert f" {command.split()[0]} " in result.out
    assert "Exit status: 0 done" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wroker"], "No such command 'wroker'. Did you mean 'worker'?; see `orderfleet --help`"),
        (["worker", "x"], "Invalid value for 'kind': 'x' is not one of 'orders', 'shipping', 'all'"),
        (["api", "--port", "x"], "Invalid value for '--port'"),
        (["order", "status"], "Missing argument 'ID'; see `orderfleet order status --help`"),
        (["order", "update-address", "ord-1"], "nothing to change; give --name, --company, --street, --street2"),
        (["order", "start", "-no-such"], "No such option: -n"),
    ],
)
def test_wrong_arguments_print_one_line_with_the_help_to_read(orderfleet, arguments, message):
    result = orderfleet(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("orderfleet: ")
    assert message in result.err


def test_conflicting_settings_print_their_own_message(orderfleet, monkeypatch):
    monkeypatch.setenv("ORDERFLEET_ENCRYPTION_KEY_ID", "k1")
    done = orderfleet("worker", "all")
    assert done.code == 2
    assert done.err == "orderfleet: ORDERFLEET_ENCRYPTION_KEY_ID needs ORDERFLEET_ENCRYPTION_KEYS_DIR; set both\n"


@pytest.mark.parametrize("command", ["api", "worker orders", "operator", "migrate", "order status x", "settings"])
def test_invalid_settings_print_a_line_each_with_variable_and_without_value(orderfleet, command, monkeypatch):
    monkeypatch.setenv("ORDERFLEET_API_PORT", "eighty")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    monkeypatch.setenv("ORDERFLEET_REVIEW_TIMEOUT", "3 days")
    monkeypatch.setenv("ORDERFLEET_DATABASE_POOL_SIZE", "-7")
    monkeypatch.setenv("ORDERFLEET_DATABASE_URL", "mysql://secret@there")
    result = orderfleet(*command.split())
    assert result.code == 2
    lines = result.err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("orderfleet: ") and line.endswith("correct it or leave it unset") for line in lines)
    assert any("ORDERFLEET_API_PORT or API_PORT: " in line for line in lines)
    assert any("ORDERFLEET_LOG_LEVEL or LOG_LEVEL: " in line for line in lines)
    assert any("'3 days' is not a duration: write 24h" in line for line in lines)
    assert "eighty" not in result.err
    assert "loud" not in result.err
    assert "secret" not in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), Exit.INVALID),
        (Failed("x"), Exit.FAILED),
        (OrderNotFound("x"), Exit.NOT_FOUND),
        (OrderIdConflict("x"), Exit.REJECTED),
        (OrderChangeRejected("x"), Exit.REJECTED),
        (OrderEnded("x"), Exit.REJECTED),
        (TemporalUnavailable("x"), Exit.UNAVAILABLE),
        (StoreUnavailable("x"), Exit.UNAVAILABLE),
        (Busy("x"), Exit.BUSY),
        (NoSuchPart("x"), Exit.NOT_FOUND),
    ],
)
def test_error_has_its_exit_status(error, code):
    found, text = explain(error)
    assert found == code
    assert text.split("; ")[0] == "x"
    assert len(text.splitlines()) == 1
    assert (code == Exit.UNAVAILABLE) == ("orderfleet stack status" in text)


def test_stack_that_is_not_up_is_unavailable():
    assert explain(NotUp()) == (Exit.UNAVAILABLE, "the stack isn't up; `orderfleet stack up` starts it")


def test_exit_statuses_match_the_documentation():
    page = (paths.checkout() / "deploy" / "docs" / "command-line.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert [int(row) for row in rows if row.isdigit()] == [int(code) for code in Exit]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("orderfleet o", ["order", "operator"]),
        ("orderfleet order st", ["start", "status"]),
        ("orderfleet demo re", ["review-timeout", "refund"]),
        ("orderfleet order signal x ca", ["cancel", "cancel-payment"]),
        ("orderfleet order list --step ma", ["manual_review"]),
    ],
)
def test_completion_offers_commands_and_values(typed, offered):
    asked = {
        "_ORDERFLEET_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    command = [str(Path(sys.executable).with_name("orderfleet"))]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **asked})
    assert result.stdout.split() == offered


def test_completion_prints_its_shell_script(orderfleet, monkeypatch):
    # Otherwise the shell that started the tests decides, and make's is plain sh.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = orderfleet("--show-completion", "bash")
    assert "complete_bash" in shown.out


def test_closed_pipe_is_no_error():
    head = "orderfleet settings | head -1; exit ${PIPESTATUS[0]}"
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", head], capture_output=True, text=True, check=False, env=environment)
    assert (result.stdout.split()[0], result.stderr) == ("VARIABLE", "")


def test_help_imports_no_library_of_a_role():
    assert (
        _imported(
            "import sys; sys.argv = ['orderfleet', '--help']\nfrom orderfleet.cli.main import app\n"
            "app(standalone_mode=False)"
        )
        == []
    )


def test_worker_imports_neither_api_nor_operator():
    assert (
        _imported(
            "import orderfleet.cli.roles, orderfleet.orders.worker, orderfleet.shipping.worker",
            "fastapi",
            "uvicorn",
            "kopf",
            "psutil",
        )
        == []
    )


def test_api_imports_no_operator():
    assert _imported("import orderfleet.cli.roles, orderfleet.api.serve", "kopf", "psutil", "typer.rich_utils") == []


def _imported(code: str, *libraries: str) -> list[str]:
    wanted = libraries or (
        "fastapi",
        "kopf",
        "temporalio",
        "asyncpg",
        "pydantic_settings",
        "psutil",
        "uvicorn",
        "aiohttp",
    )
    script = f"{code}\nimport sys\nsys.stderr.write(' '.join(n for n in {wanted!r} if n in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return result.stderr.split()
