"""What the settings of payment provider and carrier have to be like, alone and together.

`Settings` calls it as it reads the environment; problems name the variables and what to do.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from orderfleet.domain.durations import Duration, format_duration, parse_duration
from orderfleet.domain.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.settings.base import Group, variable

SIMULATED: Final = "simulated"

HTTP: Final = "http"

NOBODY: Final = (None, SIMULATED)

"""Choices that call nobody."""


_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def _read_url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError("write https://HOST[:PORT][/PATH], without user, password and query")
    return text


ServiceUrl = Annotated[str, AfterValidator(_read_url)]

"""Base of a service's paths; empty is none."""


def check_url(settings: Any, adapter: str, url: str) -> None:
    """See to it that the `http` adapter has somebody to call.

    Raises:
        ValueError: it has not.
    """
    if getattr(settings, adapter) == HTTP and not getattr(settings, url):
        raise ValueError(f"the adapter {variable(adapter)}={HTTP} needs {variable(url)}")


def check_timeout(settings: Any, call: str, attempt: str) -> None:
    """See to it that a call fits into its attempt, so that neither it nor the record uses the attempt up.

    The statement before the call may take the database's whole time-out; the one after it is bounded
    by what is left (`steps.bounds`), of which there has to be some.

    Raises:
        ValueError: it does not fit.
    """
    database: timedelta = settings.database_timeout
    needed: timedelta = getattr(settings, call) + database + LEAST_FOR_THE_STORE + ANSWER_MARGIN
    if needed > getattr(settings, attempt):
        raise ValueError(
            f"the attempt {_told(settings, attempt)} has no room for a call of {_told(settings, call)} beside"
            f" {_told(settings, 'database_timeout')}: it takes {format_duration(needed)};"
            f" shorten {variable(call)} or lengthen {variable(attempt)}"
        )


def _told(settings: Any, field: str) -> str:
    return f"{variable(field)} ({format_duration(getattr(settings, field))})"


class ProviderSettings(Group):
    """Settings of payment provider and carrier."""

    payment_provider: str | None = Field(
        default=None,
        min_length=1,
        description="Adapter of the payment provider: `simulated`, `http`, or one that a package registered."
        " Without a choice it is `simulated` where the environment is `local`; elsewhere its worker doesn't start.",
    )
    payment_url: ServiceUrl = Field(default="", description="Where the payment provider is, for `http`.")
    payment_token_file: Path | None = Field(
        default=None, description="File of the payment provider's bearer token, read anew for each call."
    )
    payment_ca_file: Path | None = Field(
        default=None,
        description="File of the certificate authorities, in PEM, that the payment provider's certificate may be by;"
        " read again when it changes. Unset trusts the system's.",
    )
    payment_timeout: Duration = Field(
        default=parse_duration("1500ms"),
        gt=timedelta(0),
        description="One call to the payment provider. It has to fit into the attempts to charge and to give back,"
        " beside the database's time-out.",
    )
    carrier: str | None = Field(
        default=None,
        min_length=1,
        description="Adapter of the carrier: `simulated`, `http`, or one that a package registered."
        " Without a choice it is `simulated` where the environment is `local`; elsewhere its worker doesn't start.",
    )
    carrier_url: ServiceUrl = Field(default="", description="Where the carrier is, for `http`.")
    carrier_token_file: Path | None = Field(
        default=None, description="File of the carrier's bearer token, read anew for each call."
    )
    carrier_ca_file: Path | None = Field(
        default=None,
        description="File of the certificate authorities, in PEM, that the carrier's certificate may be by; read"
        " again when it changes. Unset trusts the system's.",
    )
    carrier_timeout: Duration = Field(
        default=parse_duration("2500ms"),
        gt=timedelta(0),
        description="One call to the carrier. It has to fit into the attempt to dispatch,"
        " beside the database's time-out.",
    )
    simulated_ledger: Path | None = Field(
        default=None, description="File of the simulated provider's and carrier's ledgers; unset keeps them in memory."
    )
    simulated_latency: Duration = Field(
        default=parse_duration("0s"), ge=timedelta(0), description="How long the simulated provider and carrier take."
    )
    faults: str = Field(
        default="",
        description="Faults to inject into steps, for demos and tests: `flaky`, or "
        "`charge:error=0.3,hang=0.1,length=300s,attempts=2;seed=7` (`all` for every step, `attempts` for the"
        " first ones only). Empty is none.",
    )
