"""`/healthz`, `/readyz`, `/metrics`: what Kubernetes and Prometheus ask."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from orderfleet.api.services import Given

router = APIRouter(tags=["probes"], default_response_class=PlainTextResponse)


@router.get("/healthz", summary="Whether the process lives", responses={200: {"description": "It does."}})
async def healthz() -> str:
    """Answer; a loop that no longer moves does not."""
    return "ok\n"


@router.get(
    "/readyz",
    summary="Whether it takes requests",
    responses={
        200: {"description": "Ready."},
        503: {"description": "Not ready; says why.", "content": {"text/plain": {}}},
    },
)
async def readyz(services: Given) -> Response:
    """Ready once Temporal and the record have answered, until it drains."""
    problem = await services.readiness.problem()
    return PlainTextResponse(f"{problem or 'ready'}\n", status_code=503 if problem else 200)


@router.get("/metrics", summary="Prometheus metrics", responses={200: {"description": "The metrics."}})
async def metrics(request: Request) -> Response:
    """Expose the metrics of this process."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})
