"""Parts that a stack has only where their programs are at hand: they show what happens, and nothing needs them.

`lifecycle` asks which there are and tells what is missing. It must never download or build anything: a stack
without them is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orderfleet_local.stack import collector, prometheus
from orderfleet_local.stack.launch import Part


class Describe(Protocol):
    """Makes the part of a program that was found."""

    def __call__(self, folder: Path, program: Path, *, port: int) -> Part:
        """Return the part with its files in `folder`."""


@dataclass(frozen=True, slots=True)
class OptionalService:
    """A part that may be left out."""

    name: str
    find: Callable[[], Path | None]
    part: Describe
    purpose: str
    """Of its one port."""
    port: int
    without: str
    """What a stack without it doesn't show, and how to get it."""
    passed_to_roles: bool = False
    """Whether the roles are given its address, so that they start after it."""


OPTIONAL_SERVICES: tuple[OptionalService, ...] = (
    OptionalService(
        name=prometheus.PROMETHEUS,
        find=prometheus.find,
        part=prometheus.part,
        purpose="web",
        port=prometheus.DEFAULT_PORT,
        without="no metrics are kept and no alerts told; install Debian's package `prometheus`, or put the program of"
        " https://prometheus.io/download on PATH",
    ),
    OptionalService(
        name=collector.COLLECTOR,
        find=collector.find,
        part=collector.part,
        purpose="otlp",
        port=collector.DEFAULT_PORT,
        without="no traces are taken; put `otelcol` of"
        " https://github.com/open-telemetry/opentelemetry-collector-releases on PATH",
        passed_to_roles=True,
    ),
)
