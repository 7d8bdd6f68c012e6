"""What Temporal's NOT_FOUND is about. The client and the sweep ask before they take a workflow for gone.

A server that has just started, or stood still, may not know its namespace for a moment, and says NOT_FOUND of
every workflow then. It must never be taken for an order that isn't there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import structlog
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client, Interceptor
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode, ServiceClient, TLSConfig

from orderfleet.domain.errors import WrongSetting
from orderfleet.observability.exposition import prometheus
from orderfleet.process import PortUnavailable
from orderfleet.settings import Settings
from orderfleet.settings.base import PREFIX
from orderfleet.temporal.encryption import data_converter
from orderfleet.temporal.interceptors import UntracedOrders


def is_workflow_not_found(error: RPCError) -> bool:
    """Whether the answer says that there is no such workflow, in a namespace that is there."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


_HINTS: Final = {
    "PrivateKeyParseError": "TEMPORAL_TLS_CLIENT_KEY_PATH holds no private key that fits; renew both",
    "NotValidForNameContext": "Temporal's certificate is for another name; set TEMPORAL_TLS_SERVER_NAME to one it has",
    "InvalidCertificate(Expired": "Temporal's certificate has expired; renew it",
    "InvalidCertificate": "Temporal's certificate isn't by an authority that TEMPORAL_TLS_SERVER_CA_CERT_PATH holds",
    "call error after connection": "Temporal closed the connection: it may want TLS (TEMPORAL_TLS) or a client"
    " certificate of an authority it trusts (TEMPORAL_TLS_CLIENT_CERT_PATH)",
}


class WrongCredentials(WrongSetting):
    """A file that Temporal's settings name can't be used; the message says which and what to do."""


def connect_config(settings: Settings) -> ClientConnectConfig:
    """Temporal's own configuration, with the API key of our file when one is set.

    Raises:
        WrongCredentials: a file it names can't be read, or a certificate has no key.
    """
    try:
        config = ClientConfig.load_client_connect_config()
    except OSError as error:
        raise WrongCredentials(
            f"{error.filename}: can't be read: {error.strerror}; put it there or change TEMPORAL_TLS_…"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise WrongCredentials(f"Temporal's settings are wrong: {error}; see TEMPORAL_… and the profile file") from None
    tls = config.get("tls")
    if isinstance(tls, TLSConfig) and (tls.client_cert is None) != (tls.client_private_key is None):
        raise WrongCredentials("TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH go together; set both")
    if settings.temporal_api_key_file is not None:
        config["api_key"] = _api_key(settings)
    return config


def explained(text: str) -> str:
    """The SDK's words on a failed connection, with what to do about it where that is known."""
    hint = next((hint for sign, hint in _HINTS.items() if sign in text), None)
    return f"{hint} ({text})" if hint else text


def _api_key(settings: Settings) -> str:
    file = settings.temporal_api_key_file
    assert file is not None
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WrongCredentials(f"{file}: can't be read: {why}; put the API key there") from None
    if not key or not key.isprintable() or " " in key:
        raise WrongCredentials(f"{file}: has to hold one API key and nothing else")
    return key


class ReloadableService(ServiceClient):
    """`ServiceClient` that passes calls on to the one it was given last.

    The SDK foresees such a wrapper: workers are given `worker_service_client`.
    """

    def __init__(self, inner: ServiceClient) -> None:
        super().__init__(inner.config)
        self._inner = inner

    def exchange(self, inner: ServiceClient) -> None:
        """Pass calls on to `inner` from now on; those under way end where they began."""
        self._inner = inner
        self.config = inner.config

    @property
    def worker_service_client(self) -> Any:
        """What a worker polls with; one that runs has to be given its client again after an exchange."""
        return self._inner.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        """Change the metadata of calls."""
        self._inner.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        """Change the API key of calls."""
        self._inner.update_api_key(api_key)

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[Any],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,  # noqa: ASYNC109 - the SDK's name
    ) -> Any:
        return await self._inner._rpc_call(  # noqa: SLF001 - the SDK's own hook for a wrapper
            rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
        )


def reloadable(client: Client) -> Client:
    """The same client over a connection that can be exchanged."""
    config = client.config()
    config["service_client"] = ReloadableService(client.service_client)
    return Client(**config)


_log = structlog.get_logger()

FIRST_WAIT: Final = 0.2

LONGEST_WAIT: Final = 10.0

"""Seconds between two tries of who waits for Temporal, doubling from the first."""


async def connect(settings: Settings, *, runtime: Runtime | None = None, lazy: bool = False) -> Client:
    """Connect with the data converter that the settings ask for.

    Args:
        settings: names address and namespace, or leaves them to Temporal's own settings.
        runtime: the SDK's runtime; `None` is the process-wide default one.
        lazy: connect at the first call, for roles that must start while Temporal is away.

    Raises:
        RuntimeError: Temporal could not be reached.
        WrongKeys: the key to encrypt with can't be read.
        WrongCredentials: a file that Temporal's settings name can't be used.
    """
    config = connect_config(settings)
    client = await Client.connect(
        settings.temporal_address or config.get("target_host") or "127.0.0.1:7233",
        namespace=settings.temporal_namespace or config.get("namespace") or "default",
        tls=config.get("tls"),
        api_key=config.get("api_key"),
        rpc_metadata=config.get("rpc_metadata") or {},
        data_converter=data_converter(settings),
        interceptors=_tracing() if settings.otlp_endpoint else [],
        runtime=runtime,
        lazy=lazy,
    )
    return reloadable(client)


def _tracing() -> list[Interceptor]:
    from orderfleet.temporal.spans import TemporalSpans  # noqa: PLC0415 - loads OpenTelemetry's SDK

    return [UntracedOrders(), TemporalSpans()]


async def connect_with_retry(settings: Settings, *, runtime: Runtime | None = None) -> Client:
    """Connect, waiting as long as it takes; a worker may start before Temporal does."""
    wait = FIRST_WAIT
    while True:
        try:
            return await connect(settings, runtime=runtime)
        except RuntimeError as error:
            _log.warning("Temporal is away, trying again", wait_seconds=wait, error=explained(str(error)))
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)


def core_runtime(settings: Settings) -> Runtime:
    """The SDK's runtime of a worker, with its own Prometheus port when one is set.

    Raises:
        PortUnavailable: the port can't be listened on.
    """
    if not settings.temporal_metrics_port:
        return Runtime.default()
    address = f"{settings.health_host}:{settings.temporal_metrics_port}"
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=prometheus(address)))
    except ValueError as error:
        raise PortUnavailable(
            f"can't listen on {address}: {error}; set {PREFIX}HEALTH_HOST or {PREFIX}TEMPORAL_METRICS_PORT"
        ) from None
