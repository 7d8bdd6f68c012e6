"""A folder for a stack, and `up` in a separate process, which can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share are not a package

from fake_stack import stack_folder

_HERE = Path(__file__).parent
_START = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_stack import role
from orderfleet_local.stack import lifecycle
lifecycle.up(lambda text: print(text, flush=True), folder=Path(sys.argv[2]), roles=[role(m) for m in sys.argv[3:]])
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
        command = [sys.executable, "-c", _START, str(_HERE), str(folder), *modes]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
        started.append(run)
        return run

    yield start
    for run in started:
        run.kill()
        run.communicate()
