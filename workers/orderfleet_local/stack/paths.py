"""The folders of the local stack: the checkout, the tool cache and the state folder.

It reads the environment itself, because provisioning runs before the settings' library is installed. It must never
import anything outside the standard library.
"""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "ORDERFLEET_CACHE_DIR"
STATE_VARIABLE = "ORDERFLEET_STACK_DIR"


def checkout() -> Path:
    """Return the root of the source tree that has this module."""
    return Path(__file__).resolve().parents[3]


def cache_dir() -> Path:
    """Return the folder of downloaded and built tools; it may not exist yet."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser().resolve() / "orderfleet"


def state_dir() -> Path:
    """Return the folder of the stack's data, logs and state file; it may not exist yet."""
    folder = os.environ.get(STATE_VARIABLE)
    return Path(folder).expanduser().resolve() if folder else checkout() / ".orderfleet"


def tool_pins() -> Path:
    """Return the folder with the pinned Go modules and Maven project of every tool."""
    return checkout() / "deploy" / "tools"
