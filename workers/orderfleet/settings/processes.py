"""What every process has, whatever its role: where it runs, its log, its health port, its end."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from orderfleet.domain.durations import Duration, parse_duration
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.names import ORDERS_TASK_QUEUE, SHIPPING_TASK_QUEUE
from orderfleet.domain.policy import TaskQueue
from orderfleet.settings.base import Group, names


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


class TelemetrySettings(Group):
    """Settings of tracing."""

    otlp_endpoint: str = Field(
        default="",
        description="OTLP over gRPC receiver of traces, as `host:port` or with `https://` for TLS; empty turns"
        " tracing off.",
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the orders whose traces are kept.")


class ApiAuth(StrEnum):
    """How the API knows its callers."""

    NONE = "none"
    TOKENS = "tokens"
    JWT = "jwt"


class ApiSettings(Group):
    """Settings of the API."""

    api_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - a pod is reached from outside
        validation_alias=names("API_HOST", "API_HOST"),
        description="Address the API listens on.",
    )
    api_port: int = Field(
        default=8000, ge=0, le=65535, validation_alias=names("API_PORT", "API_PORT"), description="Port of the API."
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
        default="roles",
        min_length=1,
        description="Claim that holds a token's roles: a list, or text with spaces between. Dots lead into claims"
        " (`realm_access.roles`) unless a claim has that very name (`https://example.com/roles`).",
    )
    api_jwt_roles: str = Field(
        default="",
        description="What the provider's roles are here: `orders-admin=operate,orders-support=read`; no others count"
        " then. Empty: the provider calls them `read`, `operate`, `carrier`.",
    )
    api_read_timeout: Duration = Field(
        default=parse_duration("10s"),
        gt=timedelta(0),
        description="Longest time that a request's head, and then its body, may take to arrive.",
    )
    api_connections: int = Field(
        default=800,
        ge=1,
        description="Connections that the API, or the codec server, has open at once at most. Keep it below the"
        " process' limit of open files (`ulimit -n`).",
    )
    api_streams_per_caller: int = Field(
        default=100, ge=1, description="Streams (`/orders/{id}/watch`) that a caller has open at once at most."
    )
    api_body_limit: int = Field(
        default=1024 * 1024, ge=1024, description="Longest body of a request to the API, in bytes."
    )


class OperatorSettings(Group):
    """Settings of the operator."""

    operator_namespaces: str = Field(
        default="", description="Namespaces the operator watches, comma-separated; empty is all."
    )
    operator_selector: str = Field(
        default="",
        description="Labels of the Orders that this operator takes, as in `kubectl get -l`: `shard=a`,"
        " `shard notin (a,b)`; empty is all. Several operators share the Orders so; each Order must be meant by one.",
    )
    operator_concurrency: int = Field(default=20, ge=1, description="Orders the operator handles at once.")
    operator_watch_silence: Duration = Field(
        default=parse_duration("30s"),
        gt=timedelta(0),
        description="Longest that the operator waits for a word of the API server before it watches anew: how long"
        " it may be deaf on a connection that died unheard. A quiet cluster costs one request each time.",
    )

    operator_own_namespace: str = Field(
        default="",
        description="Namespace that the operator runs in. If it is being deleted when the operator is stopped, the"
        " operator deletes its Orders there and cancels what they started, and removes its finalizer from all others:"
        " nothing hangs in deletion. Empty: not checked.",
    )
    operator_namespace_deletion_timeout: Duration = Field(
        default=parse_duration("60s"),
        gt=timedelta(0),
        description="How long that may take. The pod's grace period is longer than this and the drain together.",
    )

    @field_validator("operator_selector")
    @classmethod
    def _readable(cls, text: str) -> str:
        return str(LabelSelector.read(text))


class WorkerSettings(Group):
    """Settings of order and shipping workers."""

    orders_task_queue: TaskQueue = Field(
        default=ORDERS_TASK_QUEUE,
        validation_alias=names("ORDERS_TASK_QUEUE", "ORDERS_TASK_QUEUE", "ORDER_TASK_QUEUE"),
        description="Task queue of the order workers.",
    )
    shipping_task_queue: TaskQueue = Field(
        default=SHIPPING_TASK_QUEUE,
        validation_alias=names("SHIPPING_TASK_QUEUE", "SHIPPING_TASK_QUEUE"),
        description="Task queue of the shipping workers.",
    )
    worker_deployment: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62})?$",
        description="Temporal's name for the fleet of which this worker is one version, such as `orderfleet`. Then it "
        "gets no order before that version is made current or ramped. Empty: workers have no versions.",
    )
    worker_build_id: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.+-]{0,127})?$",
        description="Which version of its deployment this worker is, such as the image's tag: another one for every "
        "change of code. Empty: the product's version.",
    )
    worker_activity_slots: int = Field(default=100, ge=1, description="Activities a worker runs at once.")
    worker_workflow_slots: int = Field(default=200, ge=2, description="Workflow tasks a worker handles at once.")
    # Without a cache the SDK drops local activities that are under way as a workflow is put aside (sdk-rust #1304).
    worker_cached_workflows: int = Field(default=1000, ge=1, description="Workflows a worker keeps in memory.")
    temporal_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the SDK's own Prometheus metrics in a worker; 0 is off."
    )
    orphan_sweep_interval: Duration = Field(
        default=parse_duration("30s"),
        ge=timedelta(seconds=1),
        description="How often the orphan sweep starts: it finds unfinished orders whose workflow is closed.",
    )
    orphan_sweep_batch: int = Field(
        default=1000,
        ge=1,
        description="Unfinished orders that each orphan sweep checks against Temporal, beside those whose workflow "
        "closed recently.",
    )
