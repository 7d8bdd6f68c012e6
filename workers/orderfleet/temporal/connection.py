"""Connects to Temporal with the settings' address, credentials and data converter, and explains failed connections.

Credentials whose files change are reloaded: API key, client certificate, certificate authorities. An invalid file is
logged, and the credentials before it stay in use; it must never stop the process.

NOT_FOUND must never be treated as a missing workflow unless `is_workflow_not_found` confirms it: a server that has
just started may not know its namespace, and then answers NOT_FOUND for every workflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from temporalio.worker import Worker


def is_workflow_not_found(error: RPCError) -> bool:
    """Return whether the error means that the workflow does not exist, in a namespace that exists."""
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
    """A file that Temporal's settings name can't be used; the message names it and says what to do."""


def connect_config(settings: Settings) -> ClientConnectConfig:
    """Return Temporal's client configuration, with the API key of the settings' file if one is set.

    Raises:
        WrongCredentials: a file that it names can't be read, or a certificate has no key.
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
        config["api_key"] = _api_key(settings.temporal_api_key_file)
    return config


def explain_connection_error(text: str) -> str:
    """Return the SDK's message on a failed connection, with what to do where that is known."""
    hint = next((hint for sign, hint in _HINTS.items() if sign in text), None)
    return f"{hint} ({text})" if hint else text


def _api_key(file: Path) -> str:
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WrongCredentials(f"{file}: can't be read: {why}; put the API key there") from None
    if not key or not key.isprintable() or " " in key:
        raise WrongCredentials(f"{file}: has to hold one API key and nothing else")
    return key


class ReloadableService(ServiceClient):
    """A `ServiceClient` whose connection can be replaced. The SDK supports such a wrapper."""

    def __init__(self, inner: ServiceClient) -> None:
        super().__init__(inner.config)
        self._inner = inner

    def replace(self, inner: ServiceClient) -> None:
        """Use `inner` for later calls; calls in progress end on their own connection."""
        self._inner = inner
        self.config = inner.config

    @property
    def worker_service_client(self) -> Any:
        """The connection that a worker polls with. Set a running worker's client again after `replace`."""
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


_log = structlog.get_logger()

INITIAL_BACKOFF: Final = 0.2
MAX_BACKOFF: Final = 10.0
"""Seconds between two attempts to reach Temporal, doubling from the initial backoff."""


async def connect(settings: Settings, *, runtime: Runtime | None = None, lazy: bool = False) -> Client:
    """Return a client with the data converter that the settings choose.

    Args:
        settings: have address and namespace; unset ones are those of Temporal's own settings.
        runtime: of the SDK; None is the default one of the process.
        lazy: connect at the first call, for processes that must start while Temporal is unavailable.

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
    over_reloadable = client.config()
    over_reloadable["service_client"] = ReloadableService(client.service_client)
    return Client(**over_reloadable)


def _tracing() -> list[Interceptor]:
    from orderfleet.temporal.spans import TemporalSpans  # noqa: PLC0415 - loads OpenTelemetry's SDK

    return [TemporalSpans()]


async def connect_with_retry(settings: Settings, *, runtime: Runtime | None = None) -> Client:
    """Return a client once Temporal answers: a worker can start before Temporal. Arguments as of `connect`."""
    wait = INITIAL_BACKOFF
    while True:
        try:
            return await connect(settings, runtime=runtime)
        except RuntimeError as error:
            _log.warning(
                "Temporal is unavailable, trying again", wait_seconds=wait, error=explain_connection_error(str(error))
            )
        await asyncio.sleep(wait)
        wait = min(wait * 2, MAX_BACKOFF)


def core_runtime(settings: Settings) -> Runtime:
    """Return the SDK's runtime of a worker, with its own Prometheus port if one is set.

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


CHECK_INTERVAL: Final = 5.0
"""Seconds between two checks of the files."""


@asynccontextmanager
async def reload_credentials(client: Client, settings: Settings, workers: Sequence[Worker] = ()) -> AsyncIterator[None]:
    """Reload changed files inside the context.

    Args:
        client: made by `connect`.
        settings: name the file of the API key; Temporal's own settings name those of TLS.
        workers: that use the client; they poll with its new connection.
    """
    if settings.temporal_api_key_file is None and not isinstance(client.service_client.config.tls, TLSConfig):
        yield
        return
    reloading = asyncio.create_task(_reload_periodically(client, settings, workers))
    try:
        yield
    finally:
        reloading.cancel()
        with suppress(asyncio.CancelledError):
            await reloading


async def _reload_periodically(client: Client, settings: Settings, workers: Sequence[Worker]) -> None:
    problem = ""
    while True:
        await asyncio.sleep(CHECK_INTERVAL)
        try:
            await _reload(client, settings, workers)
        except (WrongCredentials, RuntimeError) as error:
            message = explain_connection_error(str(error))
            if message != problem:
                _log.error("credentials for Temporal can't be reloaded, the earlier ones stay in use", problem=message)
            problem = message
        else:
            problem = ""


async def _reload(client: Client, settings: Settings, workers: Sequence[Worker]) -> None:
    config, used = connect_config(settings), client.service_client.config
    key, tls = config.get("api_key"), config.get("tls")
    if isinstance(tls, TLSConfig) and tls != used.tls:
        # Connect first: credentials that Temporal rejects must never replace those that it accepts.
        service = client.service_client
        assert isinstance(service, ReloadableService)
        service.replace(await ServiceClient.connect(replace(used, tls=tls, api_key=key, lazy=False)))
        for worker in workers:
            worker.client = client
        _log.info("certificates for Temporal reloaded")
    elif settings.temporal_api_key_file is not None and key != client.api_key:
        client.api_key = key
        _log.info("API key for Temporal reloaded", file=str(settings.temporal_api_key_file))
