"""The command line's link to the local stack, where the development tools are installed.

`orderfleet_local` is in no wheel and no image. Only this module of the product imports it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

DEVELOPMENT_TOOLS: Final = "orderfleet_local"


def is_installed() -> bool:
    """Return whether the development tools are part of this installation."""
    return find_spec(DEVELOPMENT_TOOLS) is not None


def stack_settings() -> dict[str, Any]:
    """Return the settings that connect to the running local stack; empty if none runs."""
    tools = _load()
    return dict(tools.stack_settings()) if tools else {}


def stack_kubectl(database_url: str) -> list[str]:
    """Return the command line of kubectl for the local stack's cluster.

    Args:
        database_url: the database in use; another one than the local stack's means another cluster.

    Returns:
        The program and its options; empty where the local stack is not the one in use.
    """
    tools = _load()
    return list(tools.stack_kubectl(database_url)) if tools else []


def _load() -> Any:
    if not is_installed():
        return None
    try:
        return import_module(f"{DEVELOPMENT_TOOLS}.cli.env")
    except ModuleNotFoundError:
        # The code is present, its third-party libraries are not.
        return None
