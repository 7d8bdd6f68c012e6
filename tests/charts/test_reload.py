"""The development image's entry point: a changed file starts the role anew, SIGTERM ends it."""

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


def test_a_changed_file_reaches_the_running_role_in_seconds(started, code):
    process = started("worker", "orders")
    assert line(process) == "running worker orders"
    took = []
    for word in ("changed", "once more", "a third time"):  # the quickest counts: a machine may be busy for a while
        began = time.monotonic()
        change(code, ROLE.replace('"running"', f'"{word}"'))
        # A busy machine may tell the watcher late of files from before its start: the role as it was starts once more.
        assert f"{word} worker orders" in iter(lambda: line(process), "")
        took.append(time.monotonic() - began)
    assert min(took) < 5


def test_a_mistake_waits_for_its_repair(started, code):
    process = started("broken")
    change(code, ROLE + "# fixed\n")
    assert line(process) == "running broken"


def test_sigterm_ends_the_role_and_a_job_ends_by_itself(started):
    process = started("api")
    assert line(process) == "running api"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert started("job").wait(timeout=60) == 0
