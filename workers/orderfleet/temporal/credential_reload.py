"""Reloads credentials for Temporal when their files change: API key, client certificate, certificate authorities.

An invalid file is logged, and the credentials before it stay in use. It must never stop the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import ServiceClient, TLSConfig
from temporalio.worker import Worker

from orderfleet.settings import Settings
from orderfleet.temporal.connection import ReloadableService, WrongCredentials, connect_config, explain_connection_error

_log = structlog.get_logger()

CHECK_INTERVAL: Final = 5.0
"""Seconds between two checks of the files."""


@asynccontextmanager
async def reload_credentials(client: Client, settings: Settings, workers: Sequence[Worker] = ()) -> AsyncIterator[None]:
    """Reload changed files inside the context.

    Args:
        client: made by `connection.connect`.
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
