"""Fake roles, for stacks with the real backing parts."""

from __future__ import annotations

import sys
from pathlib import Path

from orderfleet_local.stack.roles import HEALTH_PORT, Role

_HERE = Path(__file__).parent


def role(mode: str = "well", *needs: str) -> Role:
    """Return a fake role with the name of its mode.

    Args:
        mode: see `fake_role`.
        *needs: parts to start before it; by default Postgres and Temporal.
    """
    script = str(_HERE / "fake_role.py")
    return Role(mode, (sys.executable, script, mode), needs or ("postgres", "temporal"), {HEALTH_PORT: 0})
