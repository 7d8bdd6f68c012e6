"""Where `orderfleet order` looks when nothing says so."""

from __future__ import annotations

from types import SimpleNamespace

from orderfleet.cli.connection import local_settings
from orderfleet_local.stack import state


def test_local_stack_is_meant_where_nothing_is_set(monkeypatch):
    stack = SimpleNamespace(complete=True, temporal_address="127.0.0.1:1", database_url="postgresql://stack/db")
    monkeypatch.setattr(state, "load", lambda: stack)
    found = local_settings()
    assert (found.temporal_address, found.sample_orders, found.environment) == ("127.0.0.1:1", True, "local")

    monkeypatch.setenv("DATABASE_URL", "postgresql://mine/db")
    monkeypatch.setenv("TEMPORAL_TARGET", "mine:7233")
    found = local_settings()
    assert found.temporal_address == "mine:7233"
    assert found.database_url.get_secret_value() == "postgresql://mine/db"
