"""The adapter without a setting: no order is recorded as paid by mistake."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS, AdapterNotSet
from orderfleet.settings import Settings


def test_local_stack_without_adapter_setting_simulates() -> None:
    local = Settings(environment="local")
    assert (PAYMENT_PROVIDERS.name(local), CARRIERS.name(local)) == ("simulated", "simulated")


def test_adapter_setting_is_required_outside_a_local_stack() -> None:
    with pytest.raises(AdapterNotSet, match="ORDERFLEET_PAYMENT_PROVIDER isn't set: choose `http`"):
        PAYMENT_PROVIDERS.open(Settings(carrier="simulated"))
    with pytest.raises(AdapterNotSet, match="ORDERFLEET_CARRIER isn't set: choose `http`"):
        CARRIERS.open(Settings(payment_provider="simulated"))


def test_empty_adapter_setting_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERFLEET_PAYMENT_PROVIDER", "")
    with pytest.raises(ValueError, match="at least 1 character"):
        Settings()


@pytest.mark.parametrize(("environment", "warnings"), [("local", 0), ("production", 2)])
async def test_simulated_adapters_outside_a_local_stack_log_a_warning(environment: str, warnings: int) -> None:
    settings = Settings(environment=environment, payment_provider="simulated", carrier="simulated")
    with capture_logs() as logs:
        async with PAYMENT_PROVIDERS.open(settings), CARRIERS.open(settings):
            pass
    assert [one["log_level"] for one in logs] == ["warning"] * warnings
    assert [one["event"].partition(" is ")[0] for one in logs] == [
        "ORDERFLEET_PAYMENT_PROVIDER",
        "ORDERFLEET_CARRIER",
    ][:warnings]
