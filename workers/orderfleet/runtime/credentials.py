"""What Temporal is shown and what it has to show: TLS, the API key, and what is wrong with them.

`temporal` connects with it, and roles keep the API key in step with its file. TLS is configured as
Temporal's own tools have it (`TEMPORAL_TLS_…` or the profile file). A key must never be logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import TLSConfig

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.runtime.settings import Settings

_log = structlog.get_logger()

LOOK_SECONDS: Final = 5.0
"""Between two looks at the file of the API key."""

_HINTS: Final = {
    "PrivateKeyParseError": "TEMPORAL_TLS_CLIENT_KEY_PATH holds no private key that fits; renew both",
    "NotValidForNameContext": "Temporal's certificate is for another name; set TEMPORAL_TLS_SERVER_NAME to one it has",
    "InvalidCertificate(Expired": "Temporal's certificate has expired; renew it",
    "InvalidCertificate": "Temporal's certificate isn't by an authority that TEMPORAL_TLS_SERVER_CA_CERT_PATH holds",
    "call error after connection": "Temporal closed the connection: it may want TLS (TEMPORAL_TLS) or a client"
    " certificate of an authority it trusts (TEMPORAL_TLS_CLIENT_CERT_PATH)",
}


class WrongCredentials(OrderfleetError):
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


@asynccontextmanager
async def renewed(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Keep the client's API key as its file says, as long as the context is open.

    A file that turns wrong is told in the log, and the key before it stays in use.
    """
    if settings.temporal_api_key_file is None:
        yield
        return
    following = asyncio.create_task(_follow(client, settings))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(client: Client, settings: Settings) -> None:
    problem = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            key = _api_key(settings)
        except WrongCredentials as error:
            if str(error) != problem:
                _log.error("the API key before stays in use", problem=str(error))
            problem = str(error)
            continue
        problem = ""
        if key != client.api_key:
            client.api_key = key
            _log.info("API key of Temporal read again", file=str(settings.temporal_api_key_file))


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
