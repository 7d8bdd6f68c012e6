"""The local stack with a line between any two parts, each part of which may be killed or frozen.

`storm` uses it. Parts are the stack's own, started as the stack starts them; what ends is started again
until it stays up, as a supervisor would. It must never start a part that a fault keeps down.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from schedule import APISERVER, ETCD, LINES, PARTS, POSTGRES, TEMPORAL, Fault, Wrong
from stormy_parts import StormyParts

from backing import session
from orderfleet_local.stack import crd, postgres, processes, temporal_server
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import Part, Running, launch, run_job
from orderfleet_local.stack.roles import MIGRATE, ROLES

_SERVERS = {server for _client, server in LINES}
_LOOK_AGAIN = 0.5
_WELL_AGAIN = 180.0
"""Seconds within which every part is ready once nothing is wrong any more."""


class StormyStack:
    """The parts, the lines, and what is wrong with each.

    Args:
        folder: of its data, logs and sockets.
        settings: variables of every role, beside those of the stack.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.parts = StormyParts(folder, settings)
        self.starts: Counter[str] = Counter()
        self.ended_by_itself: Counter[str] = Counter()
        """Parts that ended although nobody had killed them."""
        self._running: dict[str, Running] = {}
        self._kept_down: set[str] = set()
        self._accounted: set[int] = set()
        """Process ids whose end has a known cause."""
        self._launching: set[asyncio.Future[Running]] = set()
        self._closing = threading.Event()
        self._starting: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in PARTS}

    @property
    def database_url(self) -> str:
        """The record, without a line between."""
        return postgres.database_url(self._running[POSTGRES].ports)

    @property
    def temporal_address(self) -> str:
        """Temporal, without a line between."""
        return temporal_server.address(self._running[TEMPORAL].ports)

    def running(self, name: str) -> Running:
        """A part as it was last started."""
        return self._running[name]

    async def up(self) -> None:
        """Start every part and wait until it is ready."""
        for line in self.parts.lines.values():
            await line.mend()
        await asyncio.gather(*(self._start(name, patient=False) for name in (POSTGRES, TEMPORAL, ETCD)))
        await self._start(APISERVER, patient=False)
        await asyncio.to_thread(run_job, MIGRATE, self.parts.migration(self.database_url), self.folder)
        await asyncio.to_thread(crd.apply, self.parts.kubectl, self.parts.kubeconfig, self.folder)
        await asyncio.gather(*(self._start(role.name, patient=False) for role in ROLES))

    async def close(self) -> None:
        """Start nothing any more, and end the lines."""
        self._closing.set()
        await asyncio.gather(*self._launching, return_exceptions=True)
        for line in self.parts.lines.values():
            await line.cut()

    async def suffer(self, fault: Fault) -> None:
        """Let a fault begin, last and end."""
        await self._begin(fault)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await self._end(fault)

    async def supervise(self) -> None:
        """Start what has ended and isn't kept down, until canceled."""
        async with asyncio.TaskGroup() as group:
            for name in PARTS:
                group.create_task(self._supervise(name))

    async def well_again(self) -> None:
        """Return once every part is ready; nothing may be wrong any more.

        Raises:
            AssertionError: a part isn't ready in time.
        """
        for line in self.parts.lines.values():
            await line.mend()
        end = asyncio.get_running_loop().time() + _WELL_AGAIN
        for name in PARTS:
            while not await self._ready(name):
                late = asyncio.get_running_loop().time() > end
                assert not late, f"{name} isn't ready; see {self.folder / 'logs'}"
                await asyncio.sleep(_LOOK_AGAIN)

    async def _begin(self, fault: Fault) -> None:
        if len(fault.at) == 1:
            (part,) = fault.at
            if fault.wrong is Wrong.KILLED:
                self._kept_down.add(part)
            async with self._starting[part]:  # one that is being started is hit once it runs
                if fault.wrong is Wrong.KILLED:
                    self._accounted.add(self._running[part].process.pid)
                    await asyncio.to_thread(processes.end, self._found(part), by=signal.SIGKILL, timeout=30)
                else:
                    self._signal(part, signal.SIGSTOP)
            return
        line = self.parts.lines[fault.at[0], fault.at[1]]
        if fault.wrong is Wrong.CUT:
            await line.cut()
        elif fault.wrong is Wrong.SILENT:
            line.silence()
        elif fault.wrong is Wrong.SLOW:
            line.delay = 0.3
        elif fault.wrong is Wrong.HALF_OPEN:
            line.half_open()
        else:
            line.losing_answers = True

    async def _end(self, fault: Fault) -> None:
        if len(fault.at) == 2:
            await self.parts.lines[fault.at[0], fault.at[1]].mend()
        elif fault.wrong is Wrong.KILLED:
            self._kept_down.discard(fault.at[0])
        else:
            self._signal(fault.at[0], signal.SIGCONT)

    def _signal(self, part: str, number: signal.Signals) -> None:
        for process in self._found(part):
            with suppress(psutil.Error):
                process.send_signal(number)

    def _found(self, part: str) -> list[psutil.Process]:
        return processes.find(self.folder, part).get(part, [])

    async def _supervise(self, name: str) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            if name in self._kept_down:
                continue
            if not processes.alive(self._running[name].process):
                await self._start(name, patient=True)

    async def _start(self, name: str, *, patient: bool) -> None:
        """Start a part; `patient` means that what it needs may be away, so that it is enough that it listens."""
        async with self._starting[name]:
            if name in self._kept_down:
                return
            part = replace(self._part(name), timeout=_WELL_AGAIN)
            if patient:
                self._account_for(name)
                part = replace(part, ready=lambda _: True, finish=lambda _: None)
            self.starts[name] += 1
            log = self.folder / "logs" / f"{name}.log"
            if log.exists():
                log.rename(log.with_suffix(f".{self.starts[name]}.log"))
            try:
                self._running[name] = await self._launch(part)
            except PartFailed:
                if not patient:
                    raise
                return
            if name in _SERVERS:
                self.parts.lead_to(name, self._running[name].ports)

    def _account_for(self, name: str) -> None:
        pid = self._running[name].process.pid
        if pid not in self._accounted:
            self.ended_by_itself[name] += 1
            self._accounted.add(pid)

    async def _launch(self, part: Part) -> Running:
        launching = asyncio.ensure_future(asyncio.to_thread(launch, part, self.folder, self._closing))
        self._launching.add(launching)
        launching.add_done_callback(self._launching.discard)
        # A thread can't be canceled: `close` waits for it.
        return await asyncio.shield(launching)

    async def _ready(self, name: str) -> bool:
        running = self._running[name]
        if not processes.alive(running.process):
            return False
        return await asyncio.to_thread(self._part(name).ready, running.ports)

    def _part(self, name: str) -> Part:
        before = self._running.get(name)
        return self.parts.part(name, dict(before.ports) if before else {})


@asynccontextmanager
async def stormy_stack(settings: dict[str, str]) -> AsyncIterator[StormyStack]:
    """A stack of its own, all parts ready; nothing of it runs when the context closes."""
    async with AsyncExitStack() as closing:
        backing = closing.enter_context(session())
        closing.callback(processes.let_go)
        stack = StormyStack(backing.folder, settings)
        closing.push_async_callback(stack.close)
        await stack.up()
        yield stack
