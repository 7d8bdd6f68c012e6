"""The settings: one frozen object, read once at the start of a process.

Nothing else reads the environment. Each field's description is its documentation; the settings
table in the README is generated from them.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.names import ORDERS_TASK_QUEUE, SHIPPING_TASK_QUEUE
from orderfleet.contracts.order import Delivery, Review, ReviewMode, ReviewTimeoutAction
from orderfleet.contracts.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.runtime.provider_settings import SIMULATED, ServiceUrl, check_timeout, check_url

PREFIX = "ORDERFLEET_"


class Environment(StrEnum):
    """Where a process runs. Conveniences that would be dangerous in production need `local`."""

    LOCAL = "local"
    PRODUCTION = "production"


class ApiAuth(StrEnum):
    """How the API knows its callers."""

    NONE = "none"
    TOKENS = "tokens"
    JWT = "jwt"


class LogFormat(StrEnum):
    """`auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


def _names(name: str, *others: str) -> AliasChoices:
    """Ours first, then the names people already use."""
    return AliasChoices(f"{PREFIX}{name}", *others)


def _plain_dsn(value: Any) -> Any:
    # `postgresql+asyncpg://` is SQLAlchemy's way of naming a driver; the rest is the same URL.
    return value.replace("postgresql+asyncpg://", "postgresql://", 1) if isinstance(value, str) else value


DatabaseUrl = Annotated[SecretStr, BeforeValidator(_plain_dsn)]


class Settings(BaseSettings):
    """Every setting of every role."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="ignore", case_sensitive=False
    )

    environment: Environment = Field(
        default=Environment.PRODUCTION, description="`local` allows what only a local stack should."
    )
    log_level: str = Field(
        default="INFO",
        pattern="(?i)^(debug|info|warning|error)$",
        validation_alias=_names("LOG_LEVEL", "LOG_LEVEL"),
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO, description="`json`, `console`, or `auto`: console on a terminal."
    )

    database_url: DatabaseUrl = Field(
        default=SecretStr("postgresql://orderfleet@127.0.0.1:5432/orderfleet"),
        validation_alias=_names("DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the record. `postgresql+asyncpg://` is read too.",
    )
    database_pool_size: int = Field(default=10, ge=1, description="Connections a process holds at most.")
    database_timeout: Duration = Field(
        default=parse_duration("2s"),
        gt=timedelta(0),
        description="Longest wait for a connection, and for a statement. Keep it below the steps' attempt time-outs.",
    )

    temporal_address: str | None = Field(
        default=None,
        validation_alias=_names("TEMPORAL_ADDRESS", "TEMPORAL_TARGET"),
        description="Temporal's host and port. Unset: Temporal's own `TEMPORAL_ADDRESS` and profile file decide.",
    )
    temporal_namespace: str | None = Field(
        default=None, description="Temporal namespace. Unset: Temporal's own settings decide, else `default`."
    )
    temporal_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the SDK's own Prometheus metrics in a worker; 0 is off."
    )
    orders_task_queue: str = Field(
        default=ORDERS_TASK_QUEUE,
        validation_alias=_names("ORDERS_TASK_QUEUE", "ORDERS_TASK_QUEUE", "ORDER_TASK_QUEUE"),
        description="Task queue of the order workers.",
    )
    shipping_task_queue: str = Field(
        default=SHIPPING_TASK_QUEUE,
        validation_alias=_names("SHIPPING_TASK_QUEUE", "SHIPPING_TASK_QUEUE"),
        description="Task queue of the shipping workers.",
    )
    worker_activity_slots: int = Field(default=100, ge=1, description="Activities a worker runs at once.")
    worker_workflow_slots: int = Field(default=200, ge=2, description="Workflow tasks a worker handles at once.")
    worker_cached_workflows: int = Field(default=1000, ge=0, description="Workflows a worker keeps in memory.")
    drain_timeout: Duration = Field(
        default=parse_duration("20s"),
        ge=timedelta(0),
        description="On SIGTERM: how long a process may finish what it holds. Below the pod's grace period.",
    )

    health_host: str = Field(default="0.0.0.0", description="Address of the health port.")  # noqa: S104 - a pod is probed from outside
    health_port: int = Field(
        default=8080, ge=0, le=65535, description="Port of `/healthz`, `/readyz`, `/metrics` in workers and operator."
    )
    api_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - a pod is reached from outside
        validation_alias=_names("API_HOST", "API_HOST"),
        description="Address the API listens on.",
    )
    api_port: int = Field(
        default=8000, ge=0, le=65535, validation_alias=_names("API_PORT", "API_PORT"), description="Port of the API."
    )
    api_auth: ApiAuth | None = Field(
        default=None,
        description="Who may call the API: `tokens` of a file, `jwt` of an identity provider, or `none` for everyone."
        " Without a choice it starts only where the environment is `local`.",
    )
    api_tokens_file: Path | None = Field(
        default=None,
        description="File of `tokens`: a YAML list of `name`, `role` (`read`, `operate`, `carrier`) and `token`;"
        " read again when it changes.",
    )
    api_carrier_tokens_file: Path | None = Field(
        default=None, description="Such a file for the carrier's own tokens, whatever the others are."
    )
    api_jwks_url: str | None = Field(
        default=None, pattern="^https?://", description="Where the identity provider's keys are, for `jwt`."
    )
    api_jwt_issuer: str | None = Field(default=None, description="`iss` of the provider's tokens.")
    api_jwt_audience: str | None = Field(default=None, description="What must stand in `aud` of its tokens.")
    api_jwt_roles_claim: str = Field(
        default="roles", description="Claim that holds a token's roles: a list, or text with spaces between."
    )
    api_body_limit: int = Field(
        default=1024 * 1024, ge=1024, description="Longest body of a request to the API, in bytes."
    )

    review_mode: ReviewMode = Field(default=ReviewMode.MANUAL, description="Default of an order's `review.mode`.")
    review_timeout: Duration = Field(
        default=parse_duration("24h"), gt=timedelta(0), description="Default of an order's `review.timeout`."
    )
    review_on_timeout: ReviewTimeoutAction = Field(
        default=ReviewTimeoutAction.CANCEL, description="Default of an order's `review.onTimeout`."
    )
    order_deadline: Duration | None = Field(
        default=None, gt=timedelta(0), description="Default of an order's `deadline`; unset is none."
    )
    order_execution_timeout: Duration | None = Field(
        default=None,
        gt=timedelta(0),
        description="Temporal's own time-out of an order's workflow, for tests and demos: it undoes nothing"
        " by itself. Unset is none; `deadline` is what cancels and undoes.",
    )
    delivery_confirm: bool = Field(default=False, description="Default of an order's `delivery.confirm`.")
    delivery_timeout: Duration = Field(
        default=parse_duration("336h"), gt=timedelta(0), description="Default of an order's `delivery.timeout`."
    )
    require_prices: bool = Field(default=False, description="Refuse an order with an item that has no price.")
    sample_orders: bool = Field(
        default=False, description="Stand in a sample item and address for what a request leaves out. Local only."
    )

    step_attempts: int = Field(default=3, ge=1, description="Attempts of each step.")
    step_initial_interval: Duration = Field(
        default=parse_duration("1s"), gt=timedelta(0), description="Gap after the first failed attempt."
    )
    step_backoff: float = Field(default=2.0, ge=1, description="Factor from one gap to the next.")
    step_maximum_interval: Duration = Field(
        default=parse_duration("30s"), gt=timedelta(0), description="Longest gap between attempts."
    )
    step_total_timeout: Duration = Field(
        default=parse_duration("1h"), gt=timedelta(0), description="A whole step over all attempts."
    )
    receive_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt of `receive`."
    )
    validate_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt of `validate`."
    )
    record_timeout: Duration = Field(
        default=parse_duration("3s"), gt=timedelta(0), description="One attempt to record progress."
    )
    charge_timeout: Duration = Field(
        default=parse_duration("4s"), gt=timedelta(0), description="One attempt of `charge`."
    )
    prepare_package_timeout: Duration = Field(
        default=parse_duration("5s"), gt=timedelta(0), description="One attempt of `prepare_package`."
    )
    dispatch_carrier_timeout: Duration = Field(
        default=parse_duration("5s"), gt=timedelta(0), description="One attempt of `dispatch_carrier`."
    )
    refund_timeout: Duration = Field(
        default=parse_duration("5s"),
        gt=timedelta(0),
        description="One attempt to give money back, or to void a charge.",
    )
    shipping_attempts: int = Field(default=2, ge=1, description="Shipments tried before dispatch failed for good.")
    outage_first_wait: Duration = Field(
        default=parse_duration("1s"), gt=timedelta(0), description="First wait while Postgres is away."
    )
    outage_longest_wait: Duration = Field(
        default=parse_duration("60s"), gt=timedelta(0), description="Longest wait while Postgres is away."
    )

    sweep_interval: Duration = Field(
        default=parse_duration("30s"),
        gt=timedelta(0),
        description="How often the fleet looks for orders whose workflow was ended from outside.",
    )

    payment_provider: str = Field(
        default=SIMULATED,
        description="Adapter of the payment provider: `simulated`, `http`, or one that a package registered.",
    )
    payment_url: ServiceUrl = Field(default="", description="Where the payment provider is, for `http`.")
    payment_token_file: Path | None = Field(
        default=None, description="File of the payment provider's bearer token, read anew for each call."
    )
    payment_timeout: Duration = Field(
        default=parse_duration("1500ms"),
        gt=timedelta(0),
        description="One call to the payment provider. It has to fit into the attempts to charge and to give back,"
        " beside the database's time-out.",
    )
    carrier: str = Field(
        default=SIMULATED, description="Adapter of the carrier: `simulated`, `http`, or one that a package registered."
    )
    carrier_url: ServiceUrl = Field(default="", description="Where the carrier is, for `http`.")
    carrier_token_file: Path | None = Field(
        default=None, description="File of the carrier's bearer token, read anew for each call."
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

    operator_namespaces: str = Field(
        default="", description="Namespaces the operator watches, comma-separated; empty is all."
    )
    operator_concurrency: int = Field(default=20, ge=1, description="Orders the operator handles at once.")

    otlp_endpoint: str = Field(
        default="",
        description="OTLP over gRPC receiver of traces, as `host:port` or with `https://` for TLS; empty turns"
        " tracing off.",
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the orders whose traces are kept.")

    @model_validator(mode="after")
    def _providers_fit(self) -> Self:
        if self.payment_provider != SIMULATED:
            check_url(self, "payment_provider", "payment_url")
            check_timeout(self, "payment_timeout", "charge_timeout")
            check_timeout(self, "payment_timeout", "refund_timeout")
        if self.carrier != SIMULATED:
            check_url(self, "carrier", "carrier_url")
            check_timeout(self, "carrier_timeout", "dispatch_carrier_timeout")
        return self

    def review(self) -> Review:
        """Review terms of an order that names none."""
        return Review(mode=self.review_mode, timeout=self.review_timeout, on_timeout=self.review_on_timeout)

    def delivery(self) -> Delivery:
        """Delivery terms of an order that names none."""
        return Delivery(confirm=self.delivery_confirm, timeout=self.delivery_timeout)

    def order_policy(self) -> OrderPolicy:
        """What an order that starts now is given to keep."""
        return OrderPolicy(
            receive=self._step(self.receive_timeout),
            validation=self._step(self.validate_timeout),
            record=self._step(self.record_timeout),
            charge=self._step(self.charge_timeout),
            prepare_package=self._step(self.prepare_package_timeout),
            dispatch_carrier=self._step(self.dispatch_carrier_timeout),
            refund=self._step(self.refund_timeout),
            outage=OutagePolicy(first=self.outage_first_wait, longest=self.outage_longest_wait),
            shipping_task_queue=self.shipping_task_queue,
            shipping_attempts=self.shipping_attempts,
            require_prices=self.require_prices,
        )

    def _step(self, attempt_timeout: timedelta) -> StepPolicy:
        return StepPolicy(
            attempt_timeout=attempt_timeout,
            attempts=self.step_attempts,
            initial_interval=self.step_initial_interval,
            backoff=self.step_backoff,
            maximum_interval=self.step_maximum_interval,
            total_timeout=self.step_total_timeout,
        )
