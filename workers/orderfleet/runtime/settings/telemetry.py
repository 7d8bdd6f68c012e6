"""Where traces go and how many of them."""

from __future__ import annotations

from pydantic import Field

from orderfleet.runtime.settings.base import Group


class TelemetrySettings(Group):
    """Settings of tracing."""

    otlp_endpoint: str = Field(
        default="",
        description="OTLP over gRPC receiver of traces, as `host:port` or with `https://` for TLS; empty turns"
        " tracing off.",
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the orders whose traces are kept.")
