"""The environment of a process that runs a module of the tests: `python -m provider_server.server`, for example."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]


def module_environment(**variables: str) -> dict[str, str]:
    """This process's environment with the tests on Python's path, and `variables`."""
    return {**os.environ, "PYTHONPATH": str(TESTS), **variables}
