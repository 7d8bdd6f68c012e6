"""The embedded local stack: every part as an ordinary process, for development and tests.

    from orderfleet import stack

    state = stack.up(print)
    print(state.api_url)
    stack.down()

Names are loaded when they are first used, because provisioning, which lies below this package,
runs before any library is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orderfleet_local.stack.errors import AlreadyRunning, Busy, PartFailed, StackError
    from orderfleet_local.stack.lifecycle import down, restart, up
    from orderfleet_local.stack.state import StackState, load

__all__ = ["AlreadyRunning", "Busy", "PartFailed", "StackError", "StackState", "down", "load", "restart", "up"]

_HOMES = {"lifecycle": ("down", "restart", "up"), "state": ("StackState", "load")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "errors")
    return getattr(import_module(f"{__name__}.{home}"), name)
