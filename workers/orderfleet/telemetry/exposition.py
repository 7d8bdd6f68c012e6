"""Hands a role's metrics to Prometheus' default registry, once a process. The command line calls it."""

from __future__ import annotations

import platform
from importlib.metadata import version

from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry

from orderfleet import __version__
from orderfleet.telemetry.catalog import BUILD, CATALOG, WORKERS, Exposer


def expose(role: str, registry: CollectorRegistry = REGISTRY, *, build: str = "") -> None:
    """Expose the metrics of `role`; a worker that serves both queues exposes those of both workers.

    Args:
        role: of the process.
        registry: to expose them in.
        build: id of the worker's build, where it has one: two builds may be of one version of the product.
    """
    exposers = set(WORKERS) if role == "worker" else {Exposer(role)}
    for declared in CATALOG:
        if exposers & set(declared.roles):
            registry.register(declared.metric)
    BUILD.labels(
        role=role, version=build or __version__, python=platform.python_version(), temporalio=version("temporalio")
    ).set(1)
