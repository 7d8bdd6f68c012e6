"""Settings that `orderfleet order` takes from the local stack."""

from __future__ import annotations

from types import SimpleNamespace

from orderfleet.cli.order.session import local_settings
from orderfleet_local.stack import state


def test_local_settings_use_the_stack_unless_they_are_set(monkeypatch):
    stack = SimpleNamespace(complete=True, temporal_address="127.0.0.1:1", database_url="postgresql://stack/db")
    monkeypatch.setattr(state, "load", lambda: stack)
    found = local_settings()
    assert (found.temporal_address, found.sample_orders, found.environment) == ("127.0.0.1:1", True, "local")

    monkeypatch.setenv("DATABASE_URL", "postgresql://mine/db")
    monkeypatch.setenv("TEMPORAL_TARGET", "mine:7233")
    found = local_settings()
    assert found.temporal_address == "mine:7233"
    assert found.database_url.get_secret_value() == "postgresql://mine/db"
