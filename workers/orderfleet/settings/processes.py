"""Settings of processes: those of every role, then those of the API, the operator and the workers."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from orderfleet.domain.durations import Duration, PositiveDuration, parse_duration
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.names import ORDERS_TASK_QUEUE, SHIPPING_TASK_QUEUE
from orderfleet.domain.policy import TaskQueue
from orderfleet.settings.base import Group, names


class Environment(StrEnum):
    """Where a process runs. Defaults that are unsafe in production apply to `local` only."""

    LOCAL = "local"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """Format of the log; `auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class ProcessSettings(Group):
    """Settings of every process."""

    environment: Environment = Environment.PRODUCTION
    """`local` permits unsafe defaults, such as an API without authentication. Local stacks only."""
    log_level: str = Field(
        default="INFO", pattern="(?i)^(debug|info|warning|error)$", validation_alias=names("LOG_LEVEL", "LOG_LEVEL")
    )
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    log_format: LogFormat = LogFormat.AUTO
    """`json`, `console`, or `auto`: console on a terminal."""
    health_host: str = "0.0.0.0"  # noqa: S104 - a pod is reached from outside
    """Address of the health port."""
    health_port: int = Field(default=8080, ge=0, le=65535)
    """Port of `/healthz`, `/readyz`, `/metrics` in workers, operator and API."""
    drain_timeout: Duration = Field(default=parse_duration("20s"), ge=timedelta(0))
    """How long a process may finish its work after SIGTERM. Keep it below the pod's grace period."""


class TelemetrySettings(Group):
    """Settings of tracing."""

    otlp_endpoint: str = ""
    """Receiver of traces, OTLP over gRPC, as `host:port`, or `https://host:port` for TLS. Empty disables tracing."""
    trace_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of the orders whose traces are sampled, from 0 to 1."""


class ApiAuth(StrEnum):
    """How the API authenticates its callers."""

    NONE = "none"
    TOKENS = "tokens"
    JWT = "jwt"


class ApiSettings(Group):
    """Settings of the API."""

    api_host: str = Field(default="0.0.0.0", validation_alias=names("API_HOST", "API_HOST"))  # noqa: S104 - a pod is reached from outside
    """Address the API listens on."""
    api_port: int = Field(default=8000, ge=0, le=65535, validation_alias=names("API_PORT", "API_PORT"))
    """Port of the API."""
    api_auth: ApiAuth | None = None
    """Authentication of the API's callers: `tokens` of a file, `jwt` of an identity provider, or `none`. If unset, the
    API starts only if the environment is `local`."""
    api_tokens_file: Path | None = None
    """File of `tokens`: a YAML list of `name`, `role` (`read`, `operate`, `carrier`) and `token`; read again when it
    changes."""
    api_carrier_tokens_file: Path | None = None
    """File of the carrier's tokens, in the same format, with any kind of authentication of other callers."""
    api_jwks_url: str | None = Field(default=None, pattern="^https?://")
    """URL of the identity provider's keys (JWKS), for `jwt`."""
    api_jwt_issuer: str | None = None
    """Required `iss` of the provider's tokens."""
    api_jwt_audience: str | None = None
    """Required `aud` of the provider's tokens."""
    api_jwt_roles_claim: str = Field(default="roles", min_length=1)
    """Claim with a token's roles: a list, or text separated by spaces. Dots select a nested claim
    (`realm_access.roles`), unless a claim has exactly that name (`https://example.com/roles`)."""
    api_jwt_roles: str = ""
    """Map from the provider's roles to ours: `orders-admin=operate,orders-support=read`; other roles are ignored.
    Empty: the provider uses our names, `read`, `operate`, `carrier`."""
    api_read_timeout: PositiveDuration = parse_duration("10s")
    """Longest time that a request's head, and then its body, may take to arrive."""
    api_write_timeout: Duration = Field(default=parse_duration("60s"), ge=timedelta(seconds=1), le=timedelta(days=1))
    """Longest time that a client may read nothing of a response that waits for it; then its connection is closed."""
    api_connections: int = Field(default=800, ge=1)
    """Connections that the API, or the codec server, has open at once at most. Keep it below the process' limit of open
    files (`ulimit -n`)."""
    api_streams_per_caller: int = Field(default=100, ge=1)
    """Streams (`/orders/{id}/watch`) that a caller has open at once at most."""
    api_body_limit: int = Field(default=1024 * 1024, ge=1024)
    """Largest body of a request to the API, in bytes."""


class OperatorSettings(Group):
    """Settings of the operator."""

    operator_namespaces: str = ""
    """Namespaces the operator watches, comma-separated; empty is all."""
    operator_selector: str = ""
    """Label selector of this operator's Orders, as in `kubectl get -l`: `shard=a`, `shard notin (a,b)`; empty selects
    all. The selectors of several operators must not overlap."""
    operator_concurrency: int = Field(default=20, ge=1)
    """Number of Orders that the operator reconciles at once."""
    operator_watch_inactivity_timeout: PositiveDuration = parse_duration("30s")
    """The operator reconnects its watch after this long without data, because a broken connection may report no error.
    Without changes in the cluster, each reconnection costs one request."""

    operator_own_namespace: str = ""
    """Namespace that the operator runs in. If it is being deleted when the operator is stopped, the operator deletes
    its Orders there and cancels what they started, and removes its finalizer from all others: nothing hangs in
    deletion. Empty: not checked."""
    operator_namespace_deletion_timeout: PositiveDuration = parse_duration("60s")
    """How long that may take. The pod's grace period is longer than this and the drain together."""

    def watched_namespaces(self) -> list[str]:
        """The namespaces that the operator watches; empty is all."""
        return [name for each in self.operator_namespaces.split(",") if (name := each.strip())]

    @field_validator("operator_selector")
    @classmethod
    def _valid(cls, text: str) -> str:
        return str(LabelSelector.read(text))


class WorkerSettings(Group):
    """Settings of order and shipping workers."""

    orders_task_queue: TaskQueue = Field(
        default=ORDERS_TASK_QUEUE, validation_alias=names("ORDERS_TASK_QUEUE", "ORDERS_TASK_QUEUE", "ORDER_TASK_QUEUE")
    )
    """Task queue of the order workers."""
    shipping_task_queue: TaskQueue = Field(
        default=SHIPPING_TASK_QUEUE, validation_alias=names("SHIPPING_TASK_QUEUE", "SHIPPING_TASK_QUEUE")
    )
    """Task queue of the shipping workers."""
    worker_deployment: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62})?$")
    """Name of the Temporal Worker Deployment that this worker is a version of, such as `orderfleet`. The worker
    receives orders only after its version is current or ramping. Empty: workers are not versioned."""
    worker_build_id: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9_.+-]{0,127})?$")
    """Build id of this worker in its deployment, such as the image's tag: a different one for every change of code.
    Empty: the product's version."""
    worker_activity_slots: int = Field(default=100, ge=1)
    """Number of activities that a worker runs at once."""
    worker_workflow_slots: int = Field(default=200, ge=2)
    """Number of workflow tasks that a worker runs at once."""
    # Without a cache, the SDK drops running local activities when it evicts a workflow (sdk-rust #1304).
    worker_cached_workflows: int = Field(default=1000, ge=1)
    """Number of workflows that a worker keeps in memory."""
    temporal_metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port of the SDK's own Prometheus metrics in a worker; 0 disables them."""
    orphan_sweep_interval: Duration = Field(default=parse_duration("30s"), ge=timedelta(seconds=1))
    """How often the orphan sweep starts: it finds unfinished orders whose workflow is closed."""
    orphan_sweep_batch: int = Field(default=1000, ge=1)
    """Unfinished orders that each orphan sweep checks against Temporal, beside those whose workflow closed recently."""
    reconciliation_interval: Duration = Field(default=parse_duration("1h"), ge=timedelta(0))
    """How often the ledger is compared with the payment provider's books; 0 disables it."""
    reconciliation_window: Duration = Field(default=parse_duration("24h"), ge=timedelta(0))
    """How far back each reconciliation reads; further if the last one that was completed is longer ago."""
    reconciliation_grace: Duration = Field(default=parse_duration("10m"), ge=timedelta(0))
    """Differences between ledger and provider that are younger are not reported: an operation may be in progress."""
