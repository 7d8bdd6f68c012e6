"""Requests to Stripe by its SDK, one attempt each, and their errors as those of the payment provider.

Settings of the SDK are those of this module only: the API version is pinned, and nothing is reported about the process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiohttp
import stripe
from stripe import RequestOptions, StripeClient, StripeObject

from orderfleet.domain.durations import format_duration
from orderfleet.domain.errors import (
    AuthorizationLapsed,
    PaymentRefused,
    ProviderRequestRejected,
    ProviderUnavailable,
)
from orderfleet.providers.connections import Connections, InvalidProviderFile, read_body, read_token
from orderfleet.providers.http_answers import printable_line, retry_after

API_VERSION: Final = "2026-10-28.endive"
"""Version of the API whose objects this package reads; that of the locked SDK."""

API_URL: Final = "https://api.stripe.com"

PAGE_SIZE: Final = 100
"""Objects of a page of a list: the most that Stripe sends."""

_MAX_KEY_LENGTH: Final = 255
"""Characters of an idempotency key."""

_KEYS: Final = 5
"""Idempotency keys of a request at most."""

_MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""A page of a hundred objects with their charges has about 1 MiB."""

_STATE_CODES: Final = frozenset(
    {"payment_intent_unexpected_state", "charge_already_captured", "charge_already_refunded"}
)
_TEMPORARY_CODES: Final = frozenset({"lock_timeout", "rate_limit", "balance_insufficient"})
"""Errors of a 400 that a later attempt may not meet: the account's balance is filled up again."""

# The SDK sends figures with each request otherwise, and keeps an id in the home directory.
stripe.enable_telemetry = False


Page = Mapping[str, Any]
"""Parameters that choose a page of a list."""

Request = Callable[[StripeClient, RequestOptions], Awaitable[StripeObject]]
"""Sends a request by one of the services of the SDK, with the options that it is given."""


Result = TypeVar("Result")


class StateChanged(Exception):
    """The object is in another state than the request expects: another request has changed it."""


class ErrorSaved(Exception):
    """Stripe has saved an error of its own for the idempotency key, and will answer with it for a day."""


class KeyReused(Exception):
    """The idempotency key was used with other content."""


class _Transport(stripe.HTTPClient):
    """Sends the SDK's requests over our connections, and none of them twice."""

    name = "aiohttp"

    def __init__(self, connections: Connections, timeout: timedelta) -> None:
        super().__init__()
        self._connections = connections
        self._timeout = timeout

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request; return the body, the status and the headers of the answer."""
        try:
            async with (
                self._connections.acquire() as pool,
                pool.session.request(method, url, headers=headers, data=post_data, allow_redirects=False) as response,
            ):
                body = await read_body(response, _MAX_ANSWER_BYTES)
                if body is None:
                    raise _unreachable(f"its answer is longer than {_MAX_ANSWER_BYTES} bytes")
                return body, response.status, response.headers
        except TimeoutError as error:
            raise _unreachable(f"it did not answer within {format_duration(self._timeout)}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(str(error) or type(error).__name__) from error

    async def close_async(self) -> None:
        """Do nothing: the connections have an owner."""


class StripeCalls:
    """Requests to Stripe.

    Args:
        url: of the API; empty for Stripe's own.
        key_file: holds the secret or restricted API key; read for every request, because it can be replaced.
        ca_file: certificate authorities of the API; None trusts those of the system.
        timeout: of one call of the adapter, with all its requests.
        connections: maximum number of them.
    """

    def __init__(self, url: str, *, key_file: Path, ca_file: Path | None, timeout: timedelta, connections: int) -> None:
        self._key_file = key_file
        self._timeout = timeout
        self._connections = Connections(ca_file, timeout=timeout, limit=connections)
        self._client = stripe.StripeClient(
            "unused: each request has the key that the file holds then",
            stripe_version=API_VERSION,
            base_addresses={"api": url.rstrip("/") or API_URL},
            http_client=_Transport(self._connections, timeout),
            max_network_retries=0,
        )

    @asynccontextmanager
    async def within_timeout(self) -> AsyncIterator[None]:
        """Limit the requests of one call of the adapter together.

        Raises:
            PaymentRefused: the call did not expect that its key was used with other content.
            ProviderUnavailable: they took too long, or the call did not expect that the object has changed.
        """
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                yield
        except KeyReused as error:
            raise PaymentRefused(str(error)) from error
        except (ErrorSaved, StateChanged) as error:
            raise ProviderUnavailable(str(error)) from error
        except TimeoutError as error:
            raise ProviderUnavailable(f"Stripe did not answer within {format_duration(self._timeout)}") from error

    async def send(self, request: Request, *, key: str | None = None) -> dict[str, Any]:
        """Send one request and return the object of its answer.

        Args:
            request: to send.
            key: its idempotency key; None for a request that changes nothing, or may be repeated.

        Raises:
            AuthorizationLapsed: the authorization of a capture has expired.
            ErrorSaved: an earlier request under the key met an error of Stripe's.
            KeyReused: the key was used with other content.
            PaymentRefused: Stripe declined it, or refused it because of its content.
            StateChanged: the object is in another state.
            ProviderRequestRejected: the key lacks a permission, or what the request names does not exist.
            ProviderUnavailable: there is no valid answer, or another attempt may succeed.
        """
        try:
            options: RequestOptions = {"api_key": read_token(self._key_file), "max_network_retries": 0}
            if key is not None:
                options["idempotency_key"] = shortened(key)
            return (await request(self._client, options)).to_dict()
        except stripe.StripeError as error:
            known = _translated(error)
            if isinstance(error, stripe.APIError) and (error.headers or {}).get("Idempotent-Replayed") == "true":
                known = ErrorSaved(str(known))
            raise known from error
        except InvalidProviderFile as error:
            raise ProviderUnavailable(str(error)) from error

    async def pages(self, request: Callable[[Page], Request]) -> AsyncIterator[dict[str, Any]]:
        """Iterate over the objects of a list, each page within the timeout. Raises as `send`.

        Args:
            request: returns the request of a page, by the parameters that choose it.
        """
        page: Page = {"limit": PAGE_SIZE}
        while True:
            async with self.within_timeout():
                found = await self.send(request(page))
            for each in found["data"]:
                yield each
            if not found["has_more"] or not found["data"]:
                return
            page = {"limit": PAGE_SIZE, "starting_after": found["data"][-1]["id"]}

    async def __aenter__(self) -> Self:
        """Check the files; nothing is called yet.

        Raises:
            InvalidProviderFile: the file of the key or of the authorities can't be used.
        """
        read_token(self._key_file)
        self._connections.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()


async def with_new_keys(send: Callable[[str], Awaitable[Result]]) -> Result:
    """Send a request, under a further idempotency key while Stripe has saved an error of its own for the last one.

    The request that met the error has ended, so `send` can read what it has done: nothing is done twice.

    Args:
        send: reads the state and sends the request; it takes the end of the key.

    Raises:
        ErrorSaved: there is one for each of the keys.
    """
    for number in range(1, _KEYS):
        with suppress(ErrorSaved):
            return await send("" if number == 1 else f"#{number}")
    return await send(f"#{_KEYS}")


def _unreachable(reason: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(reason)  # type: ignore[no-untyped-call]  # the SDK's constructor has no types


def shortened(key: str) -> str:
    """An idempotency key that Stripe takes: one that is too long ends with its hash."""
    if len(key) <= _MAX_KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: _MAX_KEY_LENGTH - len(digest) - 1]}#{digest}"


def _translated(error: stripe.StripeError) -> Exception:
    """The error of the payment provider for one of the SDK (https://docs.stripe.com/api/errors)."""
    codes = ", ".join(filter(None, (error.code, getattr(error.error, "decline_code", None))))
    text = printable_line(error.user_message or type(error).__name__)
    answer = f"Stripe answered {error.http_status}" if error.http_status else "Stripe could not be reached"
    message = f"{answer}: {text}{f' ({codes})' if codes else ''}"
    match error:
        case stripe.IdempotencyError():
            return KeyReused(message)
        case stripe.InvalidRequestError() if error.code in _STATE_CODES:
            return StateChanged(message)
        case stripe.InvalidRequestError(code="charge_expired_for_capture"):
            return AuthorizationLapsed(message)
        case stripe.PermissionError() | stripe.InvalidRequestError(http_status=HTTPStatus.NOT_FOUND):
            return ProviderRequestRejected(message)
        case stripe.CardError() | stripe.InvalidRequestError() if error.code not in _TEMPORARY_CODES:
            return PaymentRefused(message)
        case _:
            # Not reachable, a replaced key, too many requests, a lock, a conflict, or an error of Stripe's.
            return ProviderUnavailable(message, retry_after(error.headers or {}))
