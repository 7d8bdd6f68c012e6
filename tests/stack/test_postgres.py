"""The Postgres part alone: as whoever we are, wherever its folder lies."""

from __future__ import annotations

import os
import signal

import asyncpg
import pytest

from orderfleet_local.stack import postgres, processes
from orderfleet_local.stack.launch import launch


@pytest.mark.parametrize("mode", [0o755, 0o700])
async def test_server_runs_in_an_open_and_in_a_closed_folder(folder, mode):
    # Root's own home is closed to the account that Postgres must run under.
    folder.chmod(mode)
    running = launch(postgres.part(folder / "postgres", 0), folder)
    assert running.process.uids().effective != 0
    connection = await asyncpg.connect(postgres.database_url(running.ports))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert processes.end(processes.find(folder)["postgres"], by=signal.SIGINT, timeout=10)


def test_interrupted_initdb_is_done_again(folder):
    half = folder / "postgres" / "new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    running = launch(postgres.part(folder / "postgres", 0), folder)
    assert processes.alive(running.process)


def test_stale_pid_file_of_a_living_stranger_doesnt_matter(folder):
    first = launch(postgres.part(folder / "postgres", 0), folder)
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    content = pid_file.read_text()
    processes.end(processes.find(folder)["postgres"], by=signal.SIGKILL, timeout=10)
    pid_file.write_text(content.replace(str(first.process.pid), str(os.getppid()), 1))
    assert processes.alive(launch(postgres.part(folder / "postgres", 0), folder).process)
