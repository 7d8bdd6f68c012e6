"""Addresses of the local stack for the product's command line. `orderfleet.cli.local_stack` imports this module."""

from __future__ import annotations

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import state


def stack_settings() -> dict[str, str | bool]:
    """Return the settings that connect to the running stack; empty if none runs."""
    found = state.load()
    if found is None or not found.complete:
        return {}
    return {
        "environment": "local",
        "sample_orders": True,
        "temporal_address": found.temporal_address,
        "database_url": found.database_url,
    }


def stack_kubectl(database_url: str) -> list[str]:
    """Return the command line of kubectl for the stack's cluster; empty unless `database_url` is the stack's."""
    found = state.load()
    if found is None or not found.complete or found.database_url != database_url:
        return []
    return [str(provide(["kubectl"])["kubectl"]), "--kubeconfig", str(found.kubeconfig)]
