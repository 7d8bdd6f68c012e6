"""Settings of the payment provider and the carrier, and the checks of their combination.

The message of a failed check names the variables and what to do.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from orderfleet.domain.amount_limits import parse_amount_limits
from orderfleet.domain.durations import Duration, PositiveDuration, format_duration, parse_duration
from orderfleet.domain.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.settings.base import Group, variable

SIMULATED: Final = "simulated"
HTTP: Final = "http"
STRIPE: Final = "stripe"
IN_PROCESS: Final = (None, SIMULATED)
"""Choices of an adapter that makes no calls over the network."""

_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def _read_url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError("write https://HOST[:PORT][/PATH], without user, password or query")
    return text


def _read_limits(text: str) -> str:
    parse_amount_limits(text)
    return text


ServiceUrl = Annotated[str, AfterValidator(_read_url)]
"""Base URL of a service; empty for none."""


def check_url(settings: Any, adapter: str, url: str) -> None:
    """Check that the `http` adapter has a URL.

    Args:
        settings: to check.
        adapter: field of the adapter's name.
        url: field of its URL.

    Raises:
        ValueError: the URL is missing.
    """
    if getattr(settings, adapter) == HTTP and not getattr(settings, url):
        raise ValueError(f"the adapter {variable(adapter)}={HTTP} needs {variable(url)}")


def check_stripe(settings: Any) -> None:
    """Check that the `stripe` adapter has a file of the API key.

    Raises:
        ValueError: the file is missing.
    """
    if settings.payment_provider == STRIPE and settings.payment_token_file is None:
        raise ValueError(
            f"the adapter {variable('payment_provider')}={STRIPE} needs {variable('payment_token_file')}, the file of"
            " the secret or restricted API key"
        )


def check_timeout(settings: Any, call: str, attempt: str) -> None:
    """Check that a provider call fits into its attempt, beside the statements before and after it.

    The statement before the call may take the whole database timeout; the one after it is limited to the remaining
    time of the attempt, and needs at least `LEAST_FOR_THE_STORE`.

    Args:
        settings: to check.
        call: field of the call's timeout.
        attempt: field of the attempt's timeout.

    Raises:
        ValueError: the call does not fit.
    """
    database: timedelta = settings.database_timeout
    needed: timedelta = getattr(settings, call) + database + LEAST_FOR_THE_STORE + ANSWER_MARGIN
    if needed > getattr(settings, attempt):
        raise ValueError(
            f"the attempt {_with_value(settings, attempt)} has no room for a call of {_with_value(settings, call)}"
            f" beside {_with_value(settings, 'database_timeout')}: it takes {format_duration(needed)};"
            f" shorten {variable(call)} or lengthen {variable(attempt)}"
        )


def _with_value(settings: Any, field: str) -> str:
    return f"{variable(field)} ({format_duration(getattr(settings, field))})"


class ProviderSettings(Group):
    """Settings of the payment provider and the carrier."""

    payment_provider: str | None = Field(default=None, min_length=1)
    """Adapter of the payment provider: `simulated`, `http`, `stripe`, or one that a package registers. If unset, it is
    `simulated` if the environment is `local`; otherwise the worker doesn't start."""
    payment_url: ServiceUrl = ""
    """Base URL of the payment provider, for `http`; for `stripe` in place of its own."""
    payment_token_file: Path | None = None
    """File of the bearer token for the payment provider, read for each call; for `stripe` that of the API key."""
    payment_ca_file: Path | None = None
    """PEM file of the certificate authorities to trust for the payment provider; read again when it changes. Unset: the
    system's."""
    payment_timeout: PositiveDuration = parse_duration("1500ms")
    """Timeout of a call to the payment provider. With the database timeout, it has to fit into the timeouts of `charge`
    and of refunds."""
    stripe_return_url: ServiceUrl = ""
    """Page of the shop to which Stripe sends a customer after an authentication. If unset, Stripe offers only means of
    payment without a redirect, and the shop shows the authentication itself."""
    stripe_webhook_secret_file: Path | None = None
    """File of the signing secrets of Stripe's webhooks, one a line, read again when it changes; for the API. If unset,
    the API answers a webhook with 404."""
    payment_limits: Annotated[str, AfterValidator(_read_limits)] = ""
    """What the payment provider asks of amounts, by currency, for `http` and `simulated`:
    `USD:minimum=0.50;KWD:step=0.010,minimum=0.100`. Every amount is a multiple of `step`, and no charge or
    authorization is below `minimum`. A currency without limits takes each amount."""
    carrier: str | None = Field(default=None, min_length=1)
    """Adapter of the carrier: `simulated`, `http`, or one that a package registers. If unset, it is `simulated` if the
    environment is `local`; otherwise the worker doesn't start."""
    carrier_url: ServiceUrl = ""
    """Base URL of the carrier, for `http`."""
    carrier_token_file: Path | None = None
    """File of the bearer token for the carrier, read for each call."""
    carrier_ca_file: Path | None = None
    """PEM file of the certificate authorities to trust for the carrier; read again when it changes. Unset: the
    system's."""
    carrier_timeout: PositiveDuration = parse_duration("2500ms")
    """Timeout of a call to the carrier. With the database timeout, it has to fit into the timeout of
    `dispatch_carrier`."""
    carrier_latin_address: bool = False
    """Send each address to the carrier's service in Latin letters too, for `http`: state, city and district, where the
    data of the country have them."""
    simulated_ledger: Path | None = None
    """File of the ledgers of the simulated provider and carrier. Unset: in memory."""
    simulated_latency: Duration = Field(default=parse_duration("0s"), ge=timedelta(0))
    """Duration of a call to the simulated provider or carrier."""
    faults: str = ""
    """Faults to inject into steps, for demos and tests: `flaky`, or
    `charge:error=0.3,hang=0.1,length=300s,attempts=2;seed=7` (`all` for every step, `attempts` for the first N only).
    Empty injects none."""
