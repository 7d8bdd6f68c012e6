from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner, Result

from orderfleet.cli.migrate import EPILOG, FAILED, PENDING, UNREACHABLE, migrate


def run(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> Result:
    monkeypatch.setenv("ORDERFLEET_DATABASE_URL", url)
    app = typer.Typer()
    app.command()(migrate)
    return CliRunner().invoke(app, list(arguments))


def test_it_applies_what_is_missing_and_says_so(monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str) -> None:
    before = run(monkeypatch, empty_postgres_url, "--check")
    assert (before.exit_code, "to be applied: 0001_record.sql" in before.output) == (PENDING, True)
    assert "applied 0001_record.sql" in run(monkeypatch, empty_postgres_url).output
    again = run(monkeypatch, empty_postgres_url)
    assert (again.exit_code, again.output) == (0, "up to date\n")
    assert run(monkeypatch, empty_postgres_url, "--check").exit_code == 0


def test_it_gives_up_on_a_server_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, "postgresql://orderfleet:secret@127.0.0.1:1/orderfleet", "--wait", "200ms")
    assert result.exit_code == UNREACHABLE
    assert "Postgres did not answer: ConnectionRefusedError" in result.stderr
    assert "waited 200ms; the database is ORDERFLEET_DATABASE_URL" in result.stderr
    assert "secret" not in result.output


def test_it_refuses_files_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("none")
    monkeypatch.setattr("orderfleet.store.migrate.default_directory", lambda: empty)
    result = run(monkeypatch, empty_postgres_url)
    assert (result.exit_code, f"there are no migrations in {empty}" in result.stderr) == (FAILED, True)


def test_it_refuses_a_wait_that_is_no_duration(monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str) -> None:
    assert run(monkeypatch, empty_postgres_url, "--wait", "soon").exit_code == 2


def test_every_exit_status_is_documented() -> None:
    assert all(f" {status} " in EPILOG for status in (0, FAILED, 2, UNREACHABLE, PENDING))
