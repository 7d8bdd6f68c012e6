"""`/healthz` and `/readyz` on the API's port, for load balancers. `/metrics` is served on the health port only."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from orderfleet.api.dependencies import ServicesDependency

router = APIRouter(tags=["probes"], default_response_class=PlainTextResponse)


@router.get("/healthz", summary="Liveness", responses={200: {"description": "The process is alive."}})
async def healthz() -> str:
    """Respond; a blocked event loop doesn't."""
    return "ok\n"


@router.get(
    "/readyz",
    summary="Readiness",
    responses={
        200: {"description": "Ready."},
        503: {"description": "Not ready; the body is the reason.", "content": {"text/plain": {}}},
    },
)
async def readyz(services: ServicesDependency) -> Response:
    """Ready once Temporal and Postgres have answered, until the process drains."""
    problem = await services.readiness.problem()
    return PlainTextResponse(f"{problem or 'ready'}\n", status_code=503 if problem else 200)
