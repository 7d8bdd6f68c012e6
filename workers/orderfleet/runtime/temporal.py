"""The connection to Temporal, made in one place for every role.

Address and namespace come from our settings; what they leave unset comes from Temporal's own
environment variables and profile file, as its SDKs read them
(https://docs.temporal.io/develop/environment-configuration).
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from temporalio.client import Client, Interceptor
from temporalio.runtime import Runtime, TelemetryConfig

from orderfleet.runtime.credentials import connect_config, explained
from orderfleet.runtime.encryption import data_converter
from orderfleet.runtime.exchangeable import exchangeable
from orderfleet.runtime.listening import PortTaken
from orderfleet.runtime.settings import PREFIX, Settings
from orderfleet.telemetry.raw_starts import RawStarts
from orderfleet.telemetry.sdk import prometheus

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
    return exchangeable(client)


def _tracing() -> list[Interceptor]:
    from orderfleet.telemetry.temporal_spans import TemporalSpans  # noqa: PLC0415 - loads OpenTelemetry's SDK

    return [RawStarts(), TemporalSpans()]


async def connect_patiently(settings: Settings, *, runtime: Runtime | None = None) -> Client:
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
        PortTaken: the port can't be listened on.
    """
    if not settings.temporal_metrics_port:
        return Runtime.default()
    address = f"{settings.health_host}:{settings.temporal_metrics_port}"
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=prometheus(address)))
    except ValueError as error:
        raise PortTaken(
            f"can't listen on {address}: {error}; set {PREFIX}HEALTH_HOST or {PREFIX}TEMPORAL_METRICS_PORT"
        ) from None
