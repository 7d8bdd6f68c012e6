"""Temporal's codec server protocol: `/encode` and `/decode` (https://docs.temporal.io/codec-server).

Payloads hold the data of orders, so they must never be logged or quoted in an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from google.protobuf import json_format
from starlette.middleware.cors import CORSMiddleware
from temporalio.api.common.v1 import Payload, Payloads

from orderfleet import __version__
from orderfleet.api import problems
from orderfleet.api.access import Access, GuardedRoute, Role, UnsafeSettings, needs
from orderfleet.api.authentication import access_from
from orderfleet.api.middleware import RequestLimits, RequestLog
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.serve import serve
from orderfleet.process import Stop, open_port
from orderfleet.settings import Settings
from orderfleet.settings.processes import ApiAuth, Environment
from orderfleet.temporal.encryption import EncryptionCodec, Keys

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Temporal accepts payloads of 2 MiB, base64 adds a third, and a request may have several payloads."""


@dataclass(frozen=True)
class CodecServices:
    """The services that the routes use."""

    access: Access
    codec: EncryptionCodec


def _codec(request: Request) -> EncryptionCodec:
    services: CodecServices = request.app.state.services
    return services.codec


CodecDependency = Annotated[EncryptionCodec, Depends(_codec)]


_read_router = APIRouter(route_class=GuardedRoute, dependencies=[needs(Role.READ)])
_operate_router = APIRouter(route_class=GuardedRoute, dependencies=[needs(Role.OPERATE)])
_probe_router = APIRouter()


@_read_router.post("/decode", summary="Decrypt payloads")
async def decode(request: Request, codec: CodecDependency) -> Response:
    """Return the payloads decrypted; a payload that isn't encrypted is unchanged."""
    return _response(await codec.decode(await _payloads(request)))


@_operate_router.post("/encode", summary="Encrypt payloads")
async def encode(request: Request, codec: CodecDependency) -> Response:
    """Return the payloads, encrypted with the active key."""
    return _response(await codec.encode(await _payloads(request)))


@_probe_router.get("/healthz", summary="Liveness")
async def healthz() -> Response:
    """Respond; a blocked event loop doesn't."""
    return Response("ok\n", media_type="text/plain")


def create_codec_app(
    services: CodecServices, origins: list[str], *, read_timeout: timedelta = timedelta(seconds=10)
) -> FastAPI:
    """The application.

    Args:
        services: that the routes use.
        origins: of the Web UIs whose pages may call it, such as `https://temporal.example.com`.
        read_timeout: of a request's body.
    """
    app = FastAPI(
        title="Orderfleet codec server",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    problems.install(app)
    app.add_middleware(RequestLimits, body_limit=MAX_BODY_BYTES, read_timeout=read_timeout)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type", "X-Namespace"],
    )
    app.add_middleware(RequestLog)
    for router in (_read_router, _operate_router, _probe_router):
        app.include_router(router)
    return app


async def _payloads(request: Request) -> list[Payload]:
    try:
        return list(json_format.Parse(await request.body(), Payloads()).payloads)
    except (json_format.ParseError, UnicodeDecodeError):
        # The parser's message quotes the body, so it is left out.
        raise Unprocessable(['payloads: is not a list of Temporal payloads; send {"payloads": […]}']) from None


def _response(payloads: list[Payload]) -> Response:
    return Response(json_format.MessageToJson(Payloads(payloads=payloads), indent=None), media_type="application/json")


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until a stop is requested.

    Args:
        settings: of the process.
        stop: ends it.

    Raises:
        UnsafeSettings: no keys are configured, or callers need no token outside a local stack.
        WrongKeys: the active key can't be read.
        WrongTokensFile: a tokens file can't be read or is invalid.
        PortUnavailable: address or port can't be listened on.
    """
    if settings.encryption_keys_dir is None:
        raise UnsafeSettings(
            "ORDERFLEET_ENCRYPTION_KEYS_DIR isn't set: without keys the codec server can't decrypt anything"
        )
    if settings.api_auth is ApiAuth.NONE and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings("ORDERFLEET_API_AUTH is none: anyone could decrypt every order; use tokens or jwt")
    access = access_from(settings)
    codec = EncryptionCodec(Keys(settings.encryption_keys_dir, settings.encryption_key_id))
    app = create_codec_app(
        CodecServices(access, codec), settings.codec_origin_list(), read_timeout=settings.api_read_timeout
    )
    listener = open_port(settings.codec_host, settings.codec_port, "CODEC")
    await serve(app, listener, stop, settings)
