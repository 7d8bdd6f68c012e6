"""A class-data archive for the time-skipping test server, with which it starts in a third of the time.

It is created once per machine, from the classes that a small workflow loads. A server works without it, so that a
failure to create it must never fail a test.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from orderfleet_local.stack import paths

_QUEUE = "class-archive"
_CONNECT_ATTEMPTS = 300


@activity.defn
async def empty_activity() -> None:
    pass


@workflow.defn(sandboxed=False)
class Child:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(timedelta(milliseconds=1))


@workflow.defn(sandboxed=False)
class ExampleWorkflow:
    def __init__(self) -> None:
        self._received = 0

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._received == 2)
        await workflow.execute_activity(empty_activity, start_to_close_timeout=timedelta(seconds=10))
        await workflow.execute_child_workflow(Child.run, id="child")

    @workflow.signal
    def by_signal(self) -> None:
        self._received += 1

    @workflow.update
    def by_update(self) -> None:
        self._received += 1

    @workflow.query
    def received(self) -> int:
        return self._received


def path_for(launcher: Path) -> Path | None:
    """Return the path of the archive for `launcher` and this Java; None if there is no Java."""
    java = shutil.which("java")
    if java is None or not (launcher.parent / "lib").is_dir():
        return None
    runtime = Path(java).resolve()
    key = f"{launcher} {launcher.stat().st_mtime_ns} {runtime} {runtime.stat().st_mtime_ns}"
    return paths.cache_dir() / "class-archives" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsa"


def create(launcher: Path, target: Path) -> None:
    """Write the archive, or nothing if that fails; needs a thread without an event loop."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(f".{os.getpid()}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [launcher, str(port)],
        env={**os.environ, "JDK_JAVA_OPTIONS": f"-XX:ArchiveClassesAtExit={new}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        asyncio.run(_run_workflow(f"127.0.0.1:{port}"))
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        new.rename(target)
    except (RPCError, RuntimeError, OSError, subprocess.TimeoutExpired):
        pass
    finally:
        server.kill()
        server.wait()
        new.unlink(missing_ok=True)


async def _run_workflow(address: str) -> None:
    client = await _connect(address)
    async with Worker(client, task_queue=_QUEUE, workflows=[ExampleWorkflow, Child], activities=[empty_activity]):
        handle = await client.start_workflow(ExampleWorkflow.run, id="example", task_queue=_QUEUE)
        await handle.signal(ExampleWorkflow.by_signal)
        await handle.execute_update(ExampleWorkflow.by_update)
        await handle.query(ExampleWorkflow.received)
        await handle.describe()
        await handle.result()
        await handle.fetch_history()


async def _connect(address: str) -> Client:
    for _ in range(_CONNECT_ATTEMPTS):
        try:
            return await Client.connect(address)
        except RuntimeError:  # not listening yet
            await asyncio.sleep(0.1)
    return await Client.connect(address)
