"""`/healthz` and `/readyz` on the API's own port, for load balancers; `/metrics` is on the health port alone."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from orderfleet.api.dependencies import Given

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
