"""A Postgres server that one test can pause, kill and start again."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from orderfleet_local.stack import postgres, processes
from orderfleet_local.stack.launch import launch


class OwnServer:
    """A Postgres server that keeps its port when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return postgres.database_url({"sql": self._port})

    def start(self) -> None:
        started = launch(postgres.part(self._folder / "postgres", self._port), self._folder).ports["sql"]
        assert self._port in {0, started}, "another process took its port"
        self._port = started

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        for found in processes.find(self._folder).values():
            processes.end(found, by=signal.SIGKILL, timeout=10)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in [process for found in processes.find(self._folder).values() for process in found]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@contextmanager
def own_postgres(backing: Path) -> Iterator[OwnServer]:
    """Yield a server for one test.

    Args:
        backing: the session's folder, which the account of Postgres may enter.
    """
    folder = backing / f"own-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    server = OwnServer(folder)
    try:
        yield server
    finally:
        server.kill()


def as_role(url: str, role: str) -> str:
    """Return the URL of the same database for another role."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()
