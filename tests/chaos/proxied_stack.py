"""The local stack with a proxy between any two parts; each part can be killed or frozen.

A part that exits is started again, as a supervisor does, unless a fault holds it down.
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

from chaos.proxied_parts import ProxiedParts
from chaos.schedule import APISERVER, CONNECTIONS, ETCD, PARTS, POSTGRES, TEMPORAL, Fault, FaultKind
from orderfleet_local.stack import apiserver, postgres, processes, temporal_server
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import Part, Running, launch, run_job
from orderfleet_local.stack.roles import MIGRATE, ROLES
from support.backing import session
from support.polling import eventually

_SERVERS = {server for _client, server in CONNECTIONS}
_POLL_SECONDS = 0.5
_READY_TIMEOUT = 180.0
"""Seconds within which every part is ready once no fault is active."""


class ProxiedStack:
    """The parts, the proxies, and the active faults.

    Args:
        folder: of its data, logs and sockets.
        settings: additional variables of every role.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.parts = ProxiedParts(folder, settings)
        self.starts: Counter[str] = Counter()
        self.unexpected_exits: Counter[str] = Counter()
        """Exits that no fault explains, by part."""
        self._running: dict[str, Running] = {}
        self._held_down: set[str] = set()
        self._explained_exits: set[int] = set()
        """Process ids whose exit a fault or an earlier count explains."""
        self._launching: set[asyncio.Future[Running]] = set()
        self._closing = threading.Event()
        self._starting: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in PARTS}

    @property
    def database_url(self) -> str:
        """The order store, without a proxy."""
        return postgres.database_url(self._running[POSTGRES].ports)

    @property
    def temporal_address(self) -> str:
        """Temporal, without a proxy."""
        return temporal_server.address(self._running[TEMPORAL].ports)

    def running(self, name: str) -> Running:
        """Return a part as it was last started."""
        return self._running[name]

    async def up(self) -> None:
        """Start every part and wait until it is ready."""
        for proxy in self.parts.proxies.values():
            await proxy.restore()
        await asyncio.gather(*(self._start(name, tolerant=False) for name in (POSTGRES, TEMPORAL, ETCD)))
        await self._start(APISERVER, tolerant=False)
        await asyncio.to_thread(run_job, MIGRATE, self.parts.migration(self.database_url), self.folder)
        await asyncio.to_thread(apiserver.apply_definitions, self.parts.kubectl, self.parts.kubeconfig, self.folder)
        await asyncio.gather(*(self._start(role.name, tolerant=False) for role in ROLES))

    async def close(self) -> None:
        """Start nothing any more, and close the proxies."""
        self._closing.set()
        await asyncio.gather(*self._launching, return_exceptions=True)
        for proxy in self.parts.proxies.values():
            await proxy.cut()

    async def apply(self, fault: Fault) -> None:
        """Start a fault, wait for its duration, and end it."""
        await self._begin(fault)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await self._end(fault)

    async def supervise(self) -> None:
        """Restart each part that has exited and isn't held down, until canceled."""
        async with asyncio.TaskGroup() as group:
            for name in PARTS:
                group.create_task(self._supervise(name))

    async def until_ready(self) -> None:
        """Return once every part is ready; no fault may be active.

        Raises:
            AssertionError: a part isn't ready in time.
        """
        for proxy in self.parts.proxies.values():
            await proxy.restore()

        async def missing() -> list[str]:
            logs = self.folder / "logs"
            return [f"{name} isn't ready; see {logs}" for name in PARTS if not await self._ready(name)]

        await eventually(missing, lambda found: not found, _READY_TIMEOUT, _POLL_SECONDS)

    async def _begin(self, fault: Fault) -> None:
        if len(fault.target) == 1:
            (part,) = fault.target
            if fault.kind is FaultKind.KILLED:
                self._held_down.add(part)
            async with self._starting[part]:  # the fault waits for a part that is being started
                if fault.kind is FaultKind.KILLED:
                    self._explained_exits.add(self._running[part].process.pid)
                    await asyncio.to_thread(processes.end, self._processes(part), by=signal.SIGKILL, timeout=30)
                else:
                    self._signal(part, signal.SIGSTOP)
            return
        proxy = self.parts.proxies[fault.target[0], fault.target[1]]
        if fault.kind is FaultKind.CUT:
            await proxy.cut()
        elif fault.kind is FaultKind.SILENT:
            proxy.silence()
        elif fault.kind is FaultKind.SLOW:
            proxy.delay = 0.3
        elif fault.kind is FaultKind.HALF_OPEN:
            proxy.half_open()
        else:
            proxy.drop_responses = True

    async def _end(self, fault: Fault) -> None:
        if len(fault.target) == 2:
            await self.parts.proxies[fault.target[0], fault.target[1]].restore()
        elif fault.kind is FaultKind.KILLED:
            self._held_down.discard(fault.target[0])
        else:
            self._signal(fault.target[0], signal.SIGCONT)

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
        """Start a part; with `tolerant` it need not become ready, since a server that it needs may be unavailable."""
        async with self._starting[name]:
            if name in self._held_down:
                return
            part = replace(self._part(name), timeout=_READY_TIMEOUT)
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
    """Yield a stack of its own with all parts ready; none of its processes runs afterwards."""
    async with AsyncExitStack() as closing:
        backing = closing.enter_context(session())
        closing.callback(processes.forget_children)
        stack = ProxiedStack(backing.folder, settings)
        closing.push_async_callback(stack.close)
        await stack.up()
        yield stack
