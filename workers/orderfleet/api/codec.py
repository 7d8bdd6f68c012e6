"""Temporal's codec server protocol: `/encode` and `/decode` (https://docs.temporal.io/codec-server).

`serve` and tests make the app. It answers with what orders contain, so a payload must never be logged
or stand in an error.
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
from orderfleet.api.access import Access, Role, UnsafeSettings, needs
from orderfleet.api.authentication import access_of
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.middleware import BodyBounds, RequestLog
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.serve import serve
from orderfleet.process import Stop, open_port
from orderfleet.settings import Settings
from orderfleet.settings.processes import ApiAuth, Environment
from orderfleet.temporal.encryption import EncryptionCodec, Keys

LONGEST_BODY: Final = 8 * 1024 * 1024

"""Bytes: Temporal takes payloads of 2 MiB, base64 adds a third, and a message may have more than one."""


@dataclass(frozen=True)
class CodecServices:
    """What the routes need."""

    access: Access
    codec: EncryptionCodec


def _of_app(request: Request) -> EncryptionCodec:
    services: CodecServices = request.app.state.services
    return services.codec


Given = Annotated[EncryptionCodec, Depends(_of_app)]


_seeing = APIRouter(route_class=GuardedRoute, dependencies=[needs(Role.READ)])

_changing = APIRouter(route_class=GuardedRoute, dependencies=[needs(Role.OPERATE)])

_probes = APIRouter()


@_seeing.post("/decode", summary="Open payloads")
async def decode(request: Request, codec: Given) -> Response:
    """Answer the same payloads, opened; one that isn't encrypted is as it was."""
    return _answer(await codec.decode(await _payloads(request)))


@_changing.post("/encode", summary="Encrypt payloads")
async def encode(request: Request, codec: Given) -> Response:
    """Answer the same payloads, encrypted with the active key."""
    return _answer(await codec.encode(await _payloads(request)))


@_probes.get("/healthz", summary="Whether the process lives")
async def healthz() -> Response:
    """Answer; a loop that no longer moves does not."""
    return Response("ok\n", media_type="text/plain")


def create_codec_app(
    services: CodecServices, origins: list[str], *, read_timeout: timedelta = timedelta(seconds=10)
) -> FastAPI:
    """The application.

    Args:
        services: what it needs.
        origins: of the Web UIs whose pages may call it, as `https://temporal.example.com`.
        read_timeout: how long a body may take to arrive.
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
    app.add_middleware(BodyBounds, limit=LONGEST_BODY, timeout=read_timeout)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type", "X-Namespace"],
    )
    app.add_middleware(RequestLog)
    for router in (_seeing, _changing, _probes):
        app.include_router(router)
    return app


async def _payloads(request: Request) -> list[Payload]:
    try:
        return list(json_format.Parse(await request.body(), Payloads()).payloads)
    except (json_format.ParseError, UnicodeDecodeError):
        # Without the parser's words: they show what stands in the body.
        raise Unprocessable(['payloads: is not a list of Temporal\'s payloads; send {"payloads": […]}']) from None


def _answer(payloads: list[Payload]) -> Response:
    return Response(json_format.MessageToJson(Payloads(payloads=payloads), indent=None), media_type="application/json")


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop.

    Raises:
        UnsafeSettings: there are no keys, or everyone would be let in outside a local stack.
        WrongKeys: the key to encrypt with can't be read.
        WrongTokensFile: see `auth.tokens`.
        PortUnavailable: address or port can't be listened on.
    """
    if settings.encryption_keys_dir is None:
        raise UnsafeSettings("ORDERFLEET_ENCRYPTION_KEYS_DIR isn't set: without keys the codec server opens nothing")
    if settings.api_auth is ApiAuth.NONE and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings("ORDERFLEET_API_AUTH is none: the codec server would show every order; use tokens or jwt")
    access = access_of(settings)
    codec = EncryptionCodec(Keys(settings.encryption_keys_dir, settings.encryption_key_id))
    app = create_codec_app(
        CodecServices(access, codec), settings.codec_origin_list(), read_timeout=settings.api_read_timeout
    )
    listener = open_port(settings.codec_host, settings.codec_port, "CODEC")
    await serve(app, listener, stop, settings)
