"""Optional services: parts for observability that a stack has only if their programs are installed.

Nothing needs them, so they must never be downloaded or built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orderfleet_local.stack import collector, prometheus
from orderfleet_local.stack.launch import Part


@dataclass(frozen=True, slots=True)
class OptionalService:
    """A part that is left out if its program isn't installed."""

    name: str
    find: Callable[[], Path | None]
    part: Callable[..., Part]
    """Describes the part, from the folder of its files, its program and `port`; 0: any."""
    port: int
    """Its only port."""
    without: str
    """What a stack without it lacks, and how to install it."""
    passed_to_roles: bool = False
    """Whether the roles get its address, and so start after it."""


OPTIONAL_SERVICES: tuple[OptionalService, ...] = (
    OptionalService(
        name=prometheus.PROMETHEUS,
        find=prometheus.find,
        part=prometheus.part,
        port=prometheus.DEFAULT_PORT,
        without="no metrics are stored and no alerts evaluated; install Debian's package `prometheus`, or put the"
        " program of https://prometheus.io/download on PATH",
    ),
    OptionalService(
        name=collector.COLLECTOR,
        find=collector.find,
        part=collector.part,
        port=collector.DEFAULT_PORT,
        without="no traces are collected; put `otelcol` of"
        " https://github.com/open-telemetry/opentelemetry-collector-releases on PATH",
        passed_to_roles=True,
    ),
)
