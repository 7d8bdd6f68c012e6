"""A folder for a stack, and `up` in a separate process, which can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.programs import module_environment
from support.stack_folders import stack_folder

_START = """
import sys
from pathlib import Path
from stack.fake_stack import role
from orderfleet_local.stack import lifecycle
lifecycle.up(lambda text: print(text, flush=True), folder=Path(sys.argv[1]), roles=[role(m) for m in sys.argv[2:]])
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with stack_folder() as path:
        yield path


@pytest.fixture
def starter(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts `up` in a separate process, with roles of the given modes."""
    started: list[subprocess.Popen[str]] = []

    def start(*modes: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _START, str(folder), *modes]
        run = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=module_environment()
        )
        started.append(run)
        return run

    yield start
    for run in started:
        run.kill()
        run.communicate()
