"""What every process has, whatever its role: where it runs, its log, its health port, its end."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.runtime.settings.base import Group, names


class Environment(StrEnum):
    """Where a process runs. Conveniences that would be dangerous in production need `local`."""

    LOCAL = "local"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """`auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class ProcessSettings(Group):
    """Settings of a process as such."""

    environment: Environment = Field(
        default=Environment.PRODUCTION, description="`local` allows what only a local stack should."
    )
    log_level: str = Field(
        default="INFO",
        pattern="(?i)^(debug|info|warning|error)$",
        validation_alias=names("LOG_LEVEL", "LOG_LEVEL"),
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO, description="`json`, `console`, or `auto`: console on a terminal."
    )
    health_host: str = Field(default="0.0.0.0", description="Address of the health port.")  # noqa: S104 - a pod is probed from outside
    health_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port of `/healthz`, `/readyz`, `/metrics` in workers, operator and API.",
    )
    drain_timeout: Duration = Field(
        default=parse_duration("20s"),
        ge=timedelta(0),
        description="On SIGTERM: how long a process may finish what it holds. Below the pod's grace period.",
    )
