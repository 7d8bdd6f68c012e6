"""`orderfleet migrate` as a process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from orderfleet.cli import main as entry
from orderfleet.cli.database import MIGRATE_EXITS
from orderfleet.cli.errors import Exit


@pytest.fixture
def migrate(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(entry, "exit_process", sys.exit)

    def run(url: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ORDERFLEET_DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["orderfleet", "migrate", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def test_command_applies_pending_migrations_and_prints_them(migrate, empty_postgres_url):
    code, out, _ = migrate(empty_postgres_url, "--check")
    assert code == Exit.PENDING
    assert "to be applied: 0001_create_tables.sql" in out
    assert "applied 0001_create_tables.sql" in migrate(empty_postgres_url)[1]
    assert migrate(empty_postgres_url) == (0, "up to date\n", "")
    assert migrate(empty_postgres_url, "--check")[0] == 0


def test_command_exits_after_the_wait_without_a_server(migrate):
    code, out, err = migrate("postgresql://orderfleet:secret@127.0.0.1:1/orderfleet", "--wait", "200ms")
    assert code == Exit.UNAVAILABLE
    assert "Postgres did not answer: [Errno 111]" in err
    assert "(ConnectionRefusedError)" in err
    assert "(waited 200ms)" in err
    assert "ORDERFLEET_DATABASE_URL" in err
    assert "secret" not in out + err


def test_command_rejects_files_that_do_not_match(migrate, monkeypatch, empty_postgres_url, tmp_path):
    monkeypatch.setattr("orderfleet.store.migrate.default_directory", lambda: tmp_path)
    code, _, err = migrate(empty_postgres_url)
    assert (code, f"there are no migrations in {tmp_path}" in err) == (Exit.FAILED, True)


def test_command_rejects_an_invalid_wait(migrate, empty_postgres_url):
    assert migrate(empty_postgres_url, "--wait", "soon")[0] == Exit.INVALID


@pytest.mark.parametrize(
    ("role", "complaint"),
    [
        ("", "1 to 63 bytes"),
        ("r" * 64, "1 to 63 bytes"),
        ("public", "reserved by Postgres"),
        ("pg_monitor", "reserved by Postgres"),
    ],
)
def test_command_rejects_an_invalid_role_name_before_connecting(migrate, role, complaint):
    code, _, err = migrate("postgresql://orderfleet@127.0.0.1:1/orderfleet", "--runtime-role", role)
    assert code == Exit.INVALID
    assert "ORDERFLEET_DATABASE_RUNTIME_ROLE: " in err
    assert complaint in err


def test_command_migrates_nothing_for_a_missing_role(migrate, empty_postgres_url):
    code, _, err = migrate(empty_postgres_url, "--runtime-role", "no-such-role")
    assert (code, "there is no such role" in err) == (Exit.FAILED, True)
    assert migrate(empty_postgres_url, "--check")[0] == Exit.PENDING


def test_every_exit_status_is_documented():
    assert all(
        f" {status:d} " in MIGRATE_EXITS
        for status in (Exit.DONE, Exit.FAILED, Exit.INVALID, Exit.UNAVAILABLE, Exit.PENDING)
    )
