"""The local stack with a line between any two parts, each part of which may be killed or frozen.

`storm` uses it. Parts are the stack's own, started as the stack starts them; what ends is started again
until it stays up, as a supervisor would. It must never start a part that a fault keeps down.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from schedule import API, APISERVER, CUSTOMERS, ETCD, LINES, OPERATOR, PARTS, POSTGRES, TEMPORAL, Fault, Wrong

from backing import session
from line_between import Line
from orderfleet.stack import apiserver, crd, etcd, postgres, processes, temporal_server
from orderfleet.stack.assembly import EVERYWHERE
from orderfleet.stack.errors import PartFailed
from orderfleet.stack.launch import Part, Running, launch, run_job
from orderfleet.stack.processes import Command
from orderfleet.stack.provision.ladder import provide
from orderfleet.stack.roles import MIGRATE, PRODUCT, ROLES

_BACKING = (POSTGRES, TEMPORAL, ETCD, APISERVER)
_LOOK_AGAIN = 0.5
_WELL_AGAIN = 180.0
"""Seconds within which every part is ready once nothing is wrong any more."""
_PURPOSE = {POSTGRES: "sql", TEMPORAL: "grpc", ETCD: "client", APISERVER: "https", API: "ORDERFLEET_API_PORT"}
"""Which of a server's ports its lines lead to."""


class StormyStack:
    """The parts, the lines, and what is wrong with each.

    Args:
        folder: of its data, logs and sockets.
        settings: variables of every role, beside those of the stack.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.lines = {between: Line("127.0.0.1", 0) for between in LINES}
        self.starts: Counter[str] = Counter()
        self.ended_by_itself: Counter[str] = Counter()
        """Parts that ended although nobody had killed them."""
        self._settings = settings
        self._tools = provide(["temporal", "etcd", "kube-apiserver", "kubectl"])
        self._running: dict[str, Running] = {}
        self._kept_down: set[str] = set()
        self._accounted: set[int] = set()
        """Process ids whose end has a known cause."""
        self._launching: set[asyncio.Future[Running]] = set()
        self._closing = threading.Event()
        self._starting: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in PARTS}

    @property
    def ledger(self) -> Path:
        """The books of the simulated provider and carrier."""
        return self.folder / "ledger.db"

    @property
    def database_url(self) -> str:
        """The record, without a line between."""
        return postgres.database_url(self._running[POSTGRES].ports)

    @property
    def temporal_address(self) -> str:
        """Temporal, without a line between."""
        return temporal_server.address(self._running[TEMPORAL].ports)

    @property
    def api_url(self) -> str:
        """The product's HTTP API, through the customers' line."""
        return f"http://127.0.0.1:{self.lines[CUSTOMERS, API].port}"

    @property
    def kubeconfig(self) -> Path:
        """The API server, without a line between."""
        return apiserver.kubeconfig(self.folder / "kubernetes")

    @property
    def kubectl(self) -> Path:
        """The program."""
        return self._tools["kubectl"]

    def kubeconfig_of(self, who: str) -> Path:
        """The API server through somebody's line."""
        content = json.loads(self.kubeconfig.read_text())
        content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.lines[who, APISERVER].port}"
        path = self.folder / f"kubeconfig-{who}"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path

    async def up(self) -> None:
        """Start every part and wait until it is ready."""
        for line in self.lines.values():
            await line.mend()
        await asyncio.gather(*(self._start(name, patient=False) for name in (POSTGRES, TEMPORAL, ETCD)))
        await self._start(APISERVER, patient=False)
        environment = {**EVERYWHERE, "ORDERFLEET_DATABASE_URL": self.database_url}
        migrate = Command((*PRODUCT, MIGRATE), self.folder, environment)
        await asyncio.to_thread(run_job, MIGRATE, migrate, self.folder)
        await asyncio.to_thread(crd.apply, self._tools["kubectl"], self.kubeconfig, self.folder)
        await asyncio.gather(*(self._start(role.name, patient=False) for role in ROLES))

    async def close(self) -> None:
        """Start nothing any more, and end the lines."""
        self._closing.set()
        await asyncio.gather(*self._launching, return_exceptions=True)
        for line in self.lines.values():
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
        for line in self.lines.values():
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
                async with self._starting[part]:
                    self._accounted.add(self._running[part].process.pid)
                    await asyncio.to_thread(processes.end, self._found(part), by=signal.SIGKILL, bound=30)
            else:
                self._signal(part, signal.SIGSTOP)
            return
        line = self.lines[fault.at[0], fault.at[1]]
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
            await self.lines[fault.at[0], fault.at[1]].mend()
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
            part = replace(self._part(name), bound=_WELL_AGAIN)
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
            for (_client, server), line in self.lines.items():
                if server == name:
                    line.to = ("127.0.0.1", self._running[name].ports[_PURPOSE[name]])

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
        ports = dict(before.ports) if before else {}
        port = ports.get(_PURPOSE.get(name, ""), 0)
        if name == POSTGRES:
            return postgres.part(self.folder / POSTGRES, port)
        if name == TEMPORAL:
            return temporal_server.part(self.folder / TEMPORAL, self._tools[TEMPORAL], port=port, ui_port=None)
        if name == ETCD:
            return etcd.part(self.folder / ETCD, self._tools[ETCD], port=port)
        if name == APISERVER:
            through = f"http://127.0.0.1:{self.lines[APISERVER, ETCD].port}"
            return apiserver.part(self.folder / "kubernetes", self._tools[APISERVER], through, port=port)
        role = next(role for role in ROLES if role.name == name)
        environment = {
            **EVERYWHERE,
            "ORDERFLEET_DATABASE_URL": postgres.database_url({"sql": self.lines[name, POSTGRES].port}),
            "ORDERFLEET_TEMPORAL_ADDRESS": f"127.0.0.1:{self.lines[name, TEMPORAL].port}",
            "ORDERFLEET_SIMULATED_LEDGER": str(self.ledger),
            **self._settings,
        }
        if name == OPERATOR:
            environment["KUBECONFIG"] = str(self.kubeconfig_of(OPERATOR))
        return role.part(self.folder, environment, {purpose: ports.get(purpose, 0) for purpose in role.ports})


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
