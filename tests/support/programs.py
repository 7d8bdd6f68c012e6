"""Processes that run a module of the tests: `python -m provider_server.server`, for example."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]


def module_environment(**variables: str) -> dict[str, str]:
    """This process's environment with the tests on Python's path, and `variables`."""
    return {**os.environ, "PYTHONPATH": str(TESTS), **variables}


@contextmanager
def running_server(module: str, *arguments: str) -> Iterator[str]:
    """Run a module that serves, and kill it at the end; yield the first line that it prints, its port or URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=module_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, f"{module} did not start"
        yield address
    finally:
        process.kill()
        process.communicate()
