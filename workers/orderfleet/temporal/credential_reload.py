"""Keeps a running role's way to Temporal as its files say: API key, client certificate, authorities.

Worker, API and operator open `renewed` around their work. What turns wrong is told in the log, and what was in
use before stays; nothing is ever stopped for it.
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
from orderfleet.temporal.connection import ReloadableService, WrongCredentials, connect_config, explained

_log = structlog.get_logger()

LOOK_SECONDS: Final = 5.0
"""Between two looks at the files."""


@asynccontextmanager
async def reload_credentials(client: Client, settings: Settings, workers: Sequence[Worker] = ()) -> AsyncIterator[None]:
    """Follow the files as long as the context is open.

    Args:
        client: one of `temporal.connect`.
        settings: name the file of the API key; Temporal's own settings name those of TLS.
        workers: run with the client, and go on with what it is given.
    """
    if settings.temporal_api_key_file is None and not isinstance(client.service_client.config.tls, TLSConfig):
        yield
        return
    following = asyncio.create_task(_follow(client, settings, workers))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(client: Client, settings: Settings, workers: Sequence[Worker]) -> None:
    problem = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await _look(client, settings, workers)
        except (WrongCredentials, RuntimeError) as error:
            told = explained(str(error))
            if told != problem:
                _log.error("what Temporal was shown before stays in use", problem=told)
            problem = told
        else:
            problem = ""


async def _look(client: Client, settings: Settings, workers: Sequence[Worker]) -> None:
    config, used = connect_config(settings), client.service_client.config
    key, tls = config.get("api_key"), config.get("tls")
    if isinstance(tls, TLSConfig) and tls != used.tls:
        # Connected before it is used, so that what Temporal refuses never replaces what it takes.
        service = client.service_client
        assert isinstance(service, ReloadableService)
        service.exchange(await ServiceClient.connect(replace(used, tls=tls, api_key=key, lazy=False)))
        for worker in workers:
            worker.client = client
        _log.info("certificates for Temporal read again")
    elif settings.temporal_api_key_file is not None and key != client.api_key:
        client.api_key = key
        _log.info("API key of Temporal read again", file=str(settings.temporal_api_key_file))
