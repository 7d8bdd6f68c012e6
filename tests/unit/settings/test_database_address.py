"""The database address in a file: reloaded when it changes, kept while the file is invalid, never logged."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from orderfleet.cli.order.session import local_settings
from orderfleet.settings import Settings
from orderfleet.settings.connections import AddressFile, WrongAddressFile, database_address, listen_address

ONE, OTHER = "postgresql://me:first@db/orders", "postgresql://me:second@db/orders"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    created = tmp_path / "url"
    created.write_text(f"{ONE}\n")
    return created


def test_changed_address_file_is_read_again(file):
    address = AddressFile(file)
    assert address() == ONE
    file.write_text(OTHER)
    assert address() == OTHER


@pytest.mark.parametrize("content", ["", "mysql://me:secret@db/x", "host=h password=secret", f"{ONE}\nsecret\n"])
def test_address_file_that_becomes_invalid_keeps_the_last_address_and_is_logged_once(file, content):
    address = AddressFile(file)
    file.write_text(content)
    with capture_logs() as logged:
        assert [address(), address()] == [ONE, ONE]
    assert [each["log_level"] for each in logged] == ["error"]
    assert "secret" not in str(logged)


def test_deleted_address_file_keeps_the_last_address(file):
    address = AddressFile(file)
    file.unlink()
    assert address() == ONE
    file.write_text(OTHER)
    assert address() == OTHER


@pytest.mark.parametrize("content", [b"mysql://me:secret@db/x", b"\xff secret", b""])
def test_invalid_address_file_at_the_start_is_rejected_without_its_content(file, content):
    file.write_bytes(content)
    with pytest.raises(WrongAddressFile, match=str(file)) as caught:
        database_address(Settings(database_url_file=file))
    assert "secret" not in str(caught.value)


def test_missing_address_file_is_rejected(tmp_path):
    with pytest.raises(WrongAddressFile, match="can't be read: No such file"):
        database_address(Settings(database_url_file=tmp_path / "url"))


def test_address_file_may_name_a_driver(file):
    file.write_text(ONE.replace("postgresql", "postgresql+asyncpg"))
    assert AddressFile(file)() == ONE


def test_listen_address_defaults_to_the_database_address(file, tmp_path):
    assert listen_address(Settings(database_url=OTHER))() == OTHER
    assert listen_address(Settings(database_url_file=file))() == ONE
    assert listen_address(Settings(database_url_file=file, database_listen_url=OTHER))() == OTHER
    other = tmp_path / "listen"
    other.write_text(OTHER)
    assert listen_address(Settings(database_url_file=file, database_listen_url_file=other))() == OTHER


@pytest.mark.parametrize("name", ["ORDERFLEET_DATABASE_URL", "DATABASE_URL", "ORDERFLEET_DATABASE_LISTEN_URL"])
def test_address_and_file_together_are_rejected(monkeypatch, file, name):
    monkeypatch.setenv(name, ONE)
    monkeypatch.setenv("ORDERFLEET_DATABASE_URL_FILE", str(file))
    monkeypatch.setenv("ORDERFLEET_DATABASE_LISTEN_URL_FILE", str(file))
    with pytest.raises(ValidationError, match="are both set; leave one of them unset"):
        Settings()


def test_address_file_is_not_replaced_by_the_local_stacks_address(monkeypatch, file):
    from types import SimpleNamespace  # noqa: PLC0415 - only here

    from orderfleet_local.stack import state  # noqa: PLC0415

    stack = SimpleNamespace(complete=True, temporal_address="127.0.0.1:1", database_url=OTHER)
    monkeypatch.setattr(state, "load", lambda: stack)
    monkeypatch.setenv("ORDERFLEET_DATABASE_URL_FILE", str(file))
    assert database_address(local_settings())() == ONE
