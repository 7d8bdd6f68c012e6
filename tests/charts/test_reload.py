"""The entry point of the development image restarts the role when a file changes, and stops it on SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orderfleet_local.stack import paths

ROLE = """
import pathlib, signal, sys, time
if sys.argv[1:] == ["job"]:
    sys.exit(0)
if sys.argv[1:] == ["broken"] and "fixed" not in pathlib.Path(__file__).read_text():
    sys.exit(1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("running", *sys.argv[1:], flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    package = tmp_path / "orderfleet"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(ROLE)
    return tmp_path


@pytest.fixture
def started(code: Path):
    running = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(paths.checkout() / "deploy/reload.py"), str(code), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(code)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        running.append(process)
        return process

    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=60)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def change(code: Path, text: str) -> None:
    (code / "orderfleet" / "__main__.py").write_text(text)


def test_changed_file_restarts_the_role_within_seconds(started, code):
    process = started("worker", "orders")
    assert line(process) == "running worker orders"
    seconds = []
    for text in ("once", "a second time", "a third time"):  # The minimum counts, because the machine may be busy.
        began = time.monotonic()
        change(code, ROLE.replace('"running"', f'"{text}"'))
        # On a busy machine the watcher can see older files late, so the role may restart once without a change.
        assert f"{text} worker orders" in iter(lambda: line(process), "")
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 5


def test_role_that_fails_restarts_when_its_file_changes(started, code):
    process = started("broken")
    change(code, ROLE + "# fixed\n")
    assert line(process) == "running broken"


def test_sigterm_stops_the_role_and_a_job_ends_by_itself(started):
    process = started("api")
    assert line(process) == "running api"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert started("job").wait(timeout=60) == 0
