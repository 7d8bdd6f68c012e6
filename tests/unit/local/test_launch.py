"""A part is ready once its own process listens."""

from __future__ import annotations

import socket
import sys

import pytest

from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import Part, launch
from orderfleet_local.stack.processes import Command

_LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', int(__import__('sys').argv[1]))); time.sleep(60)"
_SLEEP = "import time; time.sleep(60)"


def _part(tmp_path, program: str, timeout: float) -> Part:
    def command(ports):
        return Command((sys.executable, "-c", program, str(ports["http"])), tmp_path)

    return Part("server", {"http": 0}, command, ready=lambda _: True, timeout=timeout)


def test_part_that_listens_is_ready(tmp_path):
    running = launch(_part(tmp_path, _LISTEN, 30), tmp_path)
    with socket.create_connection(("127.0.0.1", running.ports["http"])):
        running.process.kill()


def test_part_that_does_not_listen_is_not_ready(tmp_path):
    with pytest.raises(PartFailed, match="wasn't ready"):
        launch(_part(tmp_path, _SLEEP, 0.5), tmp_path)
