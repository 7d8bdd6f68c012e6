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
from proxied_parts import ProxiedParts
from schedule import APISERVER, CONNECTIONS, ETCD, PARTS, POSTGRES, TEMPORAL, Fault, FaultKind

from orderfleet_local.stack import crd, postgres, processes, temporal_server
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import Part, Running, launch, run_job
from orderfleet_local.stack.roles import MIGRATE, ROLES
from support.backing import session

_SERVERS = {server for _client, server in CONNECTIONS}
_POLL_SECONDS = 0.5
_READY_TIMEOUT = 180.0
"""Seconds within which every part is ready once nothing is wrong any more."""


class ProxiedStack:
    """The parts, the lines, and what is wrong with each.

    Args:
        folder: of its data, logs and sockets.
        settings: variables of every role, beside those of the stack.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.parts = ProxiedParts(folder, settings)
        self.starts: Counter[str] = Counter()
        self.unexpected_exits: Counter[str] = Counter()
        """Parts that ended although nobody had killed them."""
        self._running: dict[str, Running] = {}
        self._held_down: set[str] = set()
        self._explained_exits: set[int] = set()
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
            await line.restore()
        await asyncio.gather(*(self._start(name, tolerant=False) for name in (POSTGRES, TEMPORAL, ETCD)))
        await self._start(APISERVER, tolerant=False)
        await asyncio.to_thread(run_job, MIGRATE, self.parts.migration(self.database_url), self.folder)
        await asyncio.to_thread(crd.apply, self.parts.kubectl, self.parts.kubeconfig, self.folder)
        await asyncio.gather(*(self._start(role.name, tolerant=False) for role in ROLES))

    async def close(self) -> None:
        """Start nothing any more, and end the lines."""
        self._closing.set()
        await asyncio.gather(*self._launching, return_exceptions=True)
        for line in self.parts.lines.values():
            await line.cut()

    async def apply(self, fault: Fault) -> None:
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

    async def until_ready(self) -> None:
        """Return once every part is ready; nothing may be wrong any more.

        Raises:
            AssertionError: a part isn't ready in time.
        """
        for line in self.parts.lines.values():
            await line.restore()
        end = asyncio.get_running_loop().time() + _READY_TIMEOUT
        for name in PARTS:
            while not await self._ready(name):
                late = asyncio.get_running_loop().time() > end
                assert not late, f"{name} isn't ready; see {self.folder / 'logs'}"
                await asyncio.sleep(_POLL_SECONDS)

    async def _begin(self, fault: Fault) -> None:
        if len(fault.at) == 1:
            (part,) = fault.at
            if fault.wrong is FaultKind.KILLED:
                self._held_down.add(part)
            async with self._starting[part]:  # one that is being started is hit once it runs
                if fault.wrong is FaultKind.KILLED:
                    self._explained_exits.add(self._running[part].process.pid)
                    await asyncio.to_thread(processes.end, self._processes(part), by=signal.SIGKILL, bound=30)
                else:
                    self._signal(part, signal.SIGSTOP)
            return
        line = self.parts.lines[fault.at[0], fault.at[1]]
        if fault.wrong is FaultKind.CUT:
            await line.cut()
        elif fault.wrong is FaultKind.SILENT:
            line.silence()
        elif fault.wrong is FaultKind.SLOW:
            line.delay = 0.3
        elif fault.wrong is FaultKind.HALF_OPEN:
            line.half_open()
        else:
            line.drop_responses = True

    async def _end(self, fault: Fault) -> None:
        if len(fault.at) == 2:
            await self.parts.lines[fault.at[0], fault.at[1]].restore()
        elif fault.wrong is FaultKind.KILLED:
            self._held_down.discard(fault.at[0])
        else:
            self._signal(fault.at[0], signal.SIGCONT)

    def _signal(self, part: str, number: signal.Signals) -> None:
        for process in self._processes(part):
            with suppress(psutil.Error):
                process.send_signal(number)

    def _processes(self, part: str) -> list[psutil.Process]:
        return processes.find(self.folder, part).get(part, [])

    async def _supervise(self, name: str) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if name in self._held_down:
                continue
            if not processes.alive(self._running[name].process):
                await self._start(name, tolerant=True)

    async def _start(self, name: str, *, tolerant: bool) -> None:
        """Start a part; `patient` means that what it needs may be away, so that it is enough that it listens."""
        async with self._starting[name]:
            if name in self._held_down:
                return
            part = replace(self._part(name), bound=_READY_TIMEOUT)
            if tolerant:
                self._count_unexplained_exit(name)
                part = replace(part, ready=lambda _: True, finish=lambda _: None)
            self.starts[name] += 1
            log = self.folder / "logs" / f"{name}.log"
            if log.exists():
                log.rename(log.with_suffix(f".{self.starts[name]}.log"))
            try:
                self._running[name] = await self._launch(part)
            except PartFailed:
                if not tolerant:
                    raise
                return
            if name in _SERVERS:
                self.parts.point_proxies_to(name, self._running[name].ports)

    def _count_unexplained_exit(self, name: str) -> None:
        pid = self._running[name].process.pid
        if pid not in self._explained_exits:
            self.unexpected_exits[name] += 1
            self._explained_exits.add(pid)

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
async def proxied_stack(settings: dict[str, str]) -> AsyncIterator[ProxiedStack]:
    """A stack of its own, all parts ready; nothing of it runs when the context closes."""
    async with AsyncExitStack() as closing:
        backing = closing.enter_context(session())
        closing.callback(processes.let_go)
        stack = ProxiedStack(backing.folder, settings)
        closing.push_async_callback(stack.close)
        await stack.up()
        yield stack
