"""Settings of payment provider and carrier that contradict each other are rejected, with both named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from orderfleet.settings import Settings

HTTP_PAYMENTS = {"payment_provider": "http", "payment_url": "https://pay.example.com/v1"}
HTTP_CARRIER = {"carrier": "http", "carrier_url": "http://carrier:8080"}


def rejection(**given: Any) -> str:
    """The message of the validation error."""
    with pytest.raises(ValidationError) as raised:
        Settings(**given)
    return raised.value.errors()[0]["msg"]


def test_default_timeouts_leave_time_for_both_store_calls() -> None:
    settings = Settings(**HTTP_PAYMENTS, **HTTP_CARRIER)
    assert settings.payment_timeout + settings.database_timeout < settings.charge_timeout
    assert settings.carrier_timeout + settings.database_timeout < settings.dispatch_carrier_timeout


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"payment_timeout": "1700ms"}, "ORDERFLEET_CHARGE_TIMEOUT (4s) has no room for"),
        (
            {"payment_timeout": "3s", "charge_timeout": "10s", "capture_timeout": "10s"},
            "ORDERFLEET_REFUND_TIMEOUT (5s) has no room for",
        ),
        (
            {"charge_timeout": "3s"},
            "ORDERFLEET_PAYMENT_TIMEOUT (1s500ms) beside ORDERFLEET_DATABASE_TIMEOUT (2s)",
        ),
        ({"database_timeout": "3s"}, "shorten ORDERFLEET_PAYMENT_TIMEOUT or lengthen ORDERFLEET_CHARGE_TIMEOUT"),
    ],
)
def test_payment_timeout_longer_than_an_attempt_is_rejected(given: dict[str, str], named: str) -> None:
    problem = rejection(**HTTP_PAYMENTS, **given)
    assert named in problem
    assert Settings(**given), "the simulated provider makes no calls"


def test_carrier_timeout_longer_than_an_attempt_is_rejected() -> None:
    problem = rejection(**HTTP_CARRIER, carrier_timeout="3s")
    assert (
        "ORDERFLEET_DISPATCH_CARRIER_TIMEOUT (5s) has no room for a call of ORDERFLEET_CARRIER_TIMEOUT (3s)" in problem
    )
    assert Settings(**HTTP_CARRIER, carrier_timeout="3s", dispatch_carrier_timeout="6s")


def test_timeout_of_a_packages_adapter_is_checked_and_needs_no_url() -> None:
    assert Settings(payment_provider="acme", carrier="acme")
    assert "ORDERFLEET_CHARGE_TIMEOUT" in rejection(payment_provider="acme", payment_timeout="9s")


def test_http_adapter_without_url_is_rejected() -> None:
    assert rejection(payment_provider="http").endswith("ORDERFLEET_PAYMENT_PROVIDER=http needs ORDERFLEET_PAYMENT_URL")
    assert rejection(carrier="http").endswith("ORDERFLEET_CARRIER=http needs ORDERFLEET_CARRIER_URL")


@pytest.mark.parametrize(
    "url", ["pay.example.com", "ftp://x", "https://u:p@x", "https://x?a", "https://", "https://x y"]
)
def test_invalid_url_is_rejected(url: str) -> None:
    assert "write https://HOST[:PORT][/PATH]" in rejection(payment_url=url)


def test_refund_timeout_is_part_of_the_orders_policy() -> None:
    assert Settings(refund_timeout="9s").order_policy().refund.attempt_timeout.total_seconds() == 9
