"""The steps that start the parts of a stack, and which parts each step needs.

Steps run in parallel, each as soon as the steps that it needs are done. A running part is kept, unless a part that it
needs has changed its ports. An optional service that fails is reported and left out. This module must never decide
whether to start or stop the stack as a whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orderfleet_local.stack import apiserver, postgres, temporal_server
from orderfleet_local.stack.apiserver import APISERVER, CRD, ETCD
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.launch import Part, Ports, Running, launch, run_job
from orderfleet_local.stack.optional_services import (
    COLLECTOR,
    PROMETHEUS,
    OptionalService,
    collector_endpoint,
    write_targets,
)
from orderfleet_local.stack.processes import POSTGRES, Command
from orderfleet_local.stack.roles import MIGRATE, PRODUCT, Role
from orderfleet_local.stack.state import PartState, StackState, kubernetes_folder, save, save_ports
from orderfleet_local.stack.temporal_server import TEMPORAL

Say = Callable[[str], None]

_JOIN_STEP = 0.1

# Environment of every process of the product.
EVERYWHERE = {
    "ORDERFLEET_ENVIRONMENT": "local",
    "ORDERFLEET_TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
    "ORDERFLEET_SAMPLE_ORDERS": "true",
    # The stack is for users of this machine only.
    "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
    "ORDERFLEET_API_HOST": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A unit of work; `run` gets an event that is set when it has to stop."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[threading.Event], None]


def run_steps(steps: Sequence[Step]) -> None:
    """Run all steps; when one fails, or on Ctrl-C, cancel the others and wait for them.

    A need that isn't among the steps counts as done.

    Raises:
        BaseException: what the first failing step raised.
    """
    canceled = threading.Event()
    done = {step.name: threading.Event() for step in steps}
    failures: list[BaseException] = []

    def work(step: Step) -> None:
        try:
            for need in step.needs:
                if need in done:
                    done[need].wait()
            if not canceled.is_set():
                step.run(canceled)
        except BaseException as failure:  # noqa: BLE001 - handed to the caller below
            failures.append(failure)
            canceled.set()
        finally:
            # A failed step is done too, so that the steps that wait for it read `canceled` and end.
            done[step.name].set()

    threads = [threading.Thread(target=work, args=(step,), name=step.name) for step in steps]
    for thread in threads:
        thread.start()
    try:
        _join(threads)
    except KeyboardInterrupt:
        canceled.set()
        _join(threads)
        raise
    if failures:
        raise failures[0]


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        # A join without a timeout blocks Ctrl-C.
        while thread.is_alive():
            thread.join(_JOIN_STEP)


@dataclass
class Assembly:
    """One start of a stack.

    Attributes:
        folder: of the stack.
        tools: programs by name.
        roles: processes of the product.
        state: of the stack; updated as parts become ready.
        running: names of the parts that run already and are kept.
        say: called with a line for each step.
        previous_ports: ports that each part had last, by part and purpose.
        optional: optional services that are installed, with their programs.
        started: names of the parts that this start has started.
    """

    folder: Path
    tools: Mapping[str, Path]
    roles: Sequence[Role]
    state: StackState
    running: set[str]
    say: Say
    previous_ports: dict[str, dict[str, int]]
    optional: Mapping[OptionalService, Path] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    _moved: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def steps(self) -> list[Step]:
        """Return the steps of the whole stack."""
        needed = {need for role in self.roles for need in role.needs}
        steps = [
            self._step(POSTGRES, (), lambda: postgres.part(self.folder / "postgres")),
            self._step(TEMPORAL, (), lambda: temporal_server.part(self.folder / "temporal", self.tools[TEMPORAL])),
            self._step(ETCD, (), lambda: apiserver.etcd_part(self.folder / "etcd", self.tools[ETCD])),
            self._step(APISERVER, (ETCD,), self._apiserver),
        ]
        if MIGRATE in needed:
            steps.append(Step(MIGRATE, (POSTGRES,), self._migrate))
        if CRD in needed:
            steps.append(Step(CRD, (APISERVER,), self._apply_definitions))
        steps.extend(self._optional_step(service, program) for service, program in self.optional.items())
        needed_by_roles = tuple(service.name for service in self.optional if service.passed_to_roles)
        steps.extend(
            self._step(role.name, (*role.needs, *needed_by_roles), partial(self._role, role), role.url)
            for role in self.roles
        )
        return steps

    def completed(self) -> StackState:
        """Return the complete state after all steps, and write the metrics pages of all parts for Prometheus."""
        if PROMETHEUS in self.state.parts:
            write_targets(self.folder / PROMETHEUS, self.state.metrics_urls)
        return replace(self.state, complete=True)

    def _step(
        self, name: str, needs: tuple[str, ...], describe: Callable[[], Part], url: Callable[[Ports], str] | None = None
    ) -> Step:
        def run(canceled: threading.Event) -> None:
            if name in self.running and not self._moved.intersection(needs):
                return
            start = time.monotonic()
            part = describe()
            with self._lock:
                self.started.append(name)
            # The part gets its previous ports, because clients may use them.
            previous = self.previous_ports.get(name, {})
            others = (ports for other, ports in self.previous_ports.items() if other != name)
            avoid = {port for ports in others for port in ports.values()}
            running = launch(part, self.folder, canceled, previous=previous, avoid=avoid)
            self._record(part, running, None if url is None else url(running.ports))
            changes = _port_changes({**part.ports, **previous}, running)
            self.say(f"{name}: ready after {time.monotonic() - start:.1f} s{changes}")

        return Step(name, needs, run)

    def _optional_step(self, service: OptionalService, program: Path) -> Step:
        step = self._step(
            service.name, (), lambda: service.part(self.folder / service.name, program, port=service.port)
        )

        def run(canceled: threading.Event) -> None:
            try:
                step.run(canceled)
            except PartFailed as failure:
                self.say(f"the stack continues without {service.name}: {failure}")

        return replace(step, run=run)

    def _record(self, part: Part, running: Running, url: str | None) -> None:
        new = PartState(running.process.pid, time.time(), dict(running.ports), str(running.log), url)
        with self._lock:
            if self.previous_ports.get(part.name) != new.ports:
                self._moved.add(part.name)
                self.previous_ports = {**self.previous_ports, part.name: dict(running.ports)}
                save_ports(self.folder, self.previous_ports)
            # Incomplete until the parts that need a moved part are restarted: after an interruption none is kept.
            complete = self.state.complete and part.name not in self._moved
            self.state = replace(self.state.with_part(part.name, new), complete=complete)
            save(self.state)

    def _apiserver(self) -> Part:
        store = apiserver.etcd_url(self.state.parts[ETCD].ports)
        return apiserver.part(kubernetes_folder(self.folder), self.tools[APISERVER], store)

    def _role(self, role: Role) -> Part:
        environment = {
            **EVERYWHERE,
            "ORDERFLEET_DATABASE_URL": self.state.database_url,
            "ORDERFLEET_TEMPORAL_ADDRESS": self.state.temporal_address,
            "ORDERFLEET_SIMULATED_LEDGER": str(self.state.ledger),
        }
        if COLLECTOR in self.state.parts:
            environment["ORDERFLEET_OTLP_ENDPOINT"] = collector_endpoint(self.state.parts[COLLECTOR].ports)
        if APISERVER in role.needs:
            environment["KUBECONFIG"] = str(self.state.kubeconfig)
        return role.part(self.folder, environment, role.ports)

    def _migrate(self, canceled: threading.Event) -> None:
        start = time.monotonic()
        # Temporal may not run yet, so its address is not passed.
        environment = {**EVERYWHERE, "ORDERFLEET_DATABASE_URL": self.state.database_url}
        run_job(MIGRATE, Command((*PRODUCT, MIGRATE), self.folder, environment), self.folder, canceled)
        self.say(f"{MIGRATE}: done after {time.monotonic() - start:.1f} s")

    def _apply_definitions(self, canceled: threading.Event) -> None:
        start = time.monotonic()
        apiserver.apply_definitions(self.tools["kubectl"], self.state.kubeconfig, self.folder, canceled)
        self.say(f"{CRD}: applied after {time.monotonic() - start:.1f} s")


def _port_changes(wanted: Ports, running: Running) -> str:
    changes = [
        f"port {port} is in use, {running.ports[purpose]} instead"
        for purpose, port in wanted.items()
        if port not in (0, running.ports[purpose])
    ]
    return f" ({'; '.join(changes)})" if changes else ""
