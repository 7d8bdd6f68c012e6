"""Which payment provider and carrier are called, and where they are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.runtime.settings.base import Group
from orderfleet.runtime.settings.provider_checks import ServiceUrl


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
