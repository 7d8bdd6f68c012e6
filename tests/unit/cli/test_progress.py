"""What is shown on a terminal while a command waits, and that programs never see it."""

from __future__ import annotations

import io
import threading

import pytest

from orderfleet.cli import output


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    """Wait as a command does, with this for standard error; what stood there in the end."""

    def run(stderr, text, total=None, until=""):
        # Here and not in the fixture: pytest sets standard error anew for each phase of a test.
        monkeypatch.setattr("sys.stderr", stderr)
        with output.shown(text, total) as done:
            done()
            pause = threading.Event()
            while until not in stderr.getvalue():
                pause.wait(0.01)
        return stderr.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    return run


def test_what_is_quick_shows_nothing(show):
    assert "waiting" not in show(Terminal(), "waiting")


def test_what_takes_long_shows_a_bar(show, monkeypatch):
    monkeypatch.setattr(output, "SECONDS", 0.0)
    assert "starting" in show(Terminal(), "starting", total=3, until="1/3")


def test_a_program_sees_nothing(show, monkeypatch):
    monkeypatch.setattr(output, "SECONDS", 0.0)
    assert show(io.StringIO(), "waiting") == ""
