"""`progress` shows on a terminal while a command waits, and writes nothing to a pipe."""

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
    """Wait as a command does, with `stderr` as standard error; return what it contains at the end."""

    def run(stderr, text, total=None, until=""):
        # Not in the fixture itself: pytest replaces standard error for each phase of a test.
        monkeypatch.setattr("sys.stderr", stderr)
        with output.progress(text, total) as done:
            done()
            pause = threading.Event()
            while until not in stderr.getvalue():
                pause.wait(0.01)
        return stderr.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    return run


def test_progress_of_a_short_wait_shows_nothing(show):
    assert "waiting" not in show(Terminal(), "waiting")


def test_progress_of_a_long_wait_shows_a_bar(show, monkeypatch):
    monkeypatch.setattr(output, "PROGRESS_DELAY", 0.0)
    assert "starting" in show(Terminal(), "starting", total=3, until="1/3")


def test_progress_without_a_terminal_shows_nothing(show, monkeypatch):
    monkeypatch.setattr(output, "PROGRESS_DELAY", 0.0)
    assert show(io.StringIO(), "waiting") == ""
