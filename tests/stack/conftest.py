"""A folder for a stack, and `up` in a process of its own, which can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share are not a package

from pretend_stack import stack_folder

_HERE = Path(__file__).parent
_START = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pretend_stack import role
from orderfleet_local import stack
stack.up(lambda text: print(text, flush=True), folder=Path(sys.argv[2]), roles=[role(m) for m in sys.argv[3:]])
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with stack_folder() as path:
        yield path


@pytest.fixture
def starter(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `up` in a process of its own, with roles of the given moods."""
    started: list[subprocess.Popen[str]] = []

    def start(*moods: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _START, str(_HERE), str(folder), *moods]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
        started.append(run)
        return run

    yield start
    for run in started:
        run.kill()
        run.communicate()
