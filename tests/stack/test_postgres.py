"""The Postgres part alone: under any account, in any folder."""

from __future__ import annotations

import os
import signal

import asyncpg
import pytest

from orderfleet_local.stack import postgres, processes
from orderfleet_local.stack.launch import launch


@pytest.mark.parametrize("mode", [0o755, 0o700])
async def test_server_runs_in_open_and_closed_folders(folder, mode):
    # As root, Postgres runs under another account, which can't enter root's home.
    folder.chmod(mode)
    running = launch(postgres.part(folder / "postgres", 0), folder)
    assert running.process.uids().effective != 0
    connection = await asyncpg.connect(postgres.database_url(running.ports))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert processes.end(processes.find(folder)["postgres"], by=signal.SIGINT, timeout=10)


def test_interrupted_initdb_is_repeated(folder):
    half = folder / "postgres" / "new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    running = launch(postgres.part(folder / "postgres", 0), folder)
    assert processes.alive(running.process)


def test_stale_pid_file_with_the_id_of_another_process_is_ignored(folder):
    first = launch(postgres.part(folder / "postgres", 0), folder)
    pid_file = folder / "postgres" / "data" / "postmaster.pid"
    content = pid_file.read_text()
    processes.end(processes.find(folder)["postgres"], by=signal.SIGKILL, timeout=10)
    pid_file.write_text(content.replace(str(first.process.pid), str(os.getppid()), 1))
    assert processes.alive(launch(postgres.part(folder / "postgres", 0), folder).process)
