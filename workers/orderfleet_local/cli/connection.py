"""How the product's command line reaches the local stack. `orderfleet.cli.local_stack` loads this module."""

from __future__ import annotations

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import state


def stack_settings() -> dict[str, str | bool]:
    """The settings that lead to the running stack; empty where none runs."""
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
    """The command line of kubectl for the stack's cluster; empty unless `database_url` is the stack's."""
    found = state.load()
    if found is None or not found.complete or found.database_url != database_url:
        return []
    return [str(provide(["kubectl"])["kubectl"]), "--kubeconfig", str(found.kubeconfig)]
