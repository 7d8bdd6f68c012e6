"""What a stack consists of: the steps that start its parts, and what each needs from others.

`lifecycle` runs the steps. A part that lives is kept, unless something it needs is new or came back on
another port. An offer that fails is told and left out. It must never decide whether to start or stop the
stack as a whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orderfleet_local.stack import apiserver, collector, crd, etcd, postgres, prometheus, temporal_server
from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.errors import PartFailed
from orderfleet_local.stack.etcd import ETCD
from orderfleet_local.stack.graph import Step
from orderfleet_local.stack.launch import Part, Ports, Running, launch, run_job
from orderfleet_local.stack.optional_services import OptionalService
from orderfleet_local.stack.processes import POSTGRES, Command
from orderfleet_local.stack.roles import MIGRATE, PRODUCT, Role
from orderfleet_local.stack.state import PartState, StackState, kubernetes_folder, save, save_ports
from orderfleet_local.stack.temporal_server import TEMPORAL

Say = Callable[[str], None]

# What every process of the product is told, whatever runs where.
EVERYWHERE = {
    "ORDERFLEET_ENVIRONMENT": "local",
    "ORDERFLEET_TEMPORAL_NAMESPACE": temporal_server.NAMESPACE,
    "ORDERFLEET_SAMPLE_ORDERS": "true",
    # The stack is for whoever sits at this machine.
    "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
    "ORDERFLEET_API_HOST": "127.0.0.1",
}


@dataclass
class Assembly:
    """One start of the stack whose state lies in `folder`; `living` parts are kept.

    `offers` are those whose program is installed, with it. `before` are the ports that parts had, by purpose.
    """

    folder: Path
    tools: Mapping[str, Path]
    roles: Sequence[Role]
    state: StackState
    living: set[str]
    say: Say
    before: dict[str, dict[str, int]]
    offers: Mapping[OptionalService, Path] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    _moved: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def steps(self) -> list[Step]:
        """Return the steps of the whole stack."""
        needed = {need for role in self.roles for need in role.needs}
        steps = [
            self._step(POSTGRES, (), self._postgres),
            self._step(TEMPORAL, (), self._temporal),
            self._step(ETCD, (), self._etcd),
            self._step(APISERVER, (ETCD,), self._apiserver),
        ]
        if MIGRATE in needed:
            steps.append(Step(MIGRATE, (POSTGRES,), self._migrate))
        if crd.CRD in needed:
            steps.append(Step(crd.CRD, (APISERVER,), self._apply_definitions))
        steps.extend(self._offered(offer, program) for offer, program in self.offers.items())
        first = tuple(offer.name for offer in self.offers if offer.passed_to_roles)
        steps.extend(
            self._step(role.name, (*role.needs, *first), partial(self._role, role), role.url) for role in self.roles
        )
        return steps

    def completed(self) -> StackState:
        """Return the state once all steps are done; a Prometheus is told of all of them."""
        if prometheus.PROMETHEUS in self.state.parts:
            prometheus.write_targets(self.folder / prometheus.PROMETHEUS, self.state.metrics_urls)
        return replace(self.state, complete=True)

    def _step(
        self, name: str, needs: tuple[str, ...], describe: Callable[[], Part], url: Callable[[Ports], str] | None = None
    ) -> Step:
        def run(cancelled: threading.Event) -> None:
            if name in self.living and not self._moved.intersection(needs):
                return
            began = time.monotonic()
            part = describe()
            with self._lock:
                self.started.append(name)
            # Others may know the ports that it had.
            before = self.before.get(name, {})
            avoid = {port for other, given in self.before.items() if other != name for port in given.values()}
            running = launch(part, self.folder, cancelled, before=before, avoid=avoid)
            self._record(part, running, None if url is None else url(running.ports))
            moved = _moved_to({**part.ports, **before}, running)
            self.say(f"{name}: ready after {time.monotonic() - began:.1f} s{moved}")

        return Step(name, needs, run)

    def _offered(self, offer: OptionalService, program: Path) -> Step:
        step = self._step(offer.name, (), lambda: offer.part(self.folder / offer.name, program, port=offer.port))

        def run(cancelled: threading.Event) -> None:
            try:
                step.run(cancelled)
            except PartFailed as failure:
                self.say(f"the stack goes on without {offer.name}: {failure}")

        return replace(step, run=run)

    def _record(self, part: Part, running: Running, url: str | None) -> None:
        new = PartState(running.process.pid, time.time(), dict(running.ports), str(running.log), url)
        with self._lock:
            if self.before.get(part.name) != new.ports:
                self._moved.add(part.name)
                self.before = {**self.before, part.name: dict(running.ports)}
                save_ports(self.folder, self.before)
            # Until what needs a moved part is started again, no part of this stack may be taken for a running one.
            complete = self.state.complete and part.name not in self._moved
            self.state = replace(self.state.with_part(part.name, new), complete=complete)
            save(self.state)

    def _postgres(self) -> Part:
        return postgres.part(self.folder / "postgres")

    def _temporal(self) -> Part:
        return temporal_server.part(self.folder / "temporal", self.tools[TEMPORAL])

    def _etcd(self) -> Part:
        return etcd.part(self.folder / "etcd", self.tools[ETCD])

    def _apiserver(self) -> Part:
        store = etcd.url(self.state.parts[ETCD].ports)
        return apiserver.part(kubernetes_folder(self.folder), self.tools[APISERVER], store)

    def _role(self, role: Role) -> Part:
        environment = {
            **EVERYWHERE,
            "ORDERFLEET_DATABASE_URL": self.state.database_url,
            "ORDERFLEET_TEMPORAL_ADDRESS": self.state.temporal_address,
            "ORDERFLEET_SIMULATED_LEDGER": str(self.state.ledger),
        }
        if collector.COLLECTOR in self.state.parts:
            environment["ORDERFLEET_OTLP_ENDPOINT"] = collector.endpoint(self.state.parts[collector.COLLECTOR].ports)
        if APISERVER in role.needs:
            environment["KUBECONFIG"] = str(self.state.kubeconfig)
        return role.part(self.folder, environment, role.ports)

    def _migrate(self, cancelled: threading.Event) -> None:
        began = time.monotonic()
        # Temporal may not be there yet, so it isn't told.
        environment = {**EVERYWHERE, "ORDERFLEET_DATABASE_URL": self.state.database_url}
        run_job(MIGRATE, Command((*PRODUCT, MIGRATE), self.folder, environment), self.folder, cancelled)
        self.say(f"{MIGRATE}: done after {time.monotonic() - began:.1f} s")

    def _apply_definitions(self, cancelled: threading.Event) -> None:
        began = time.monotonic()
        crd.apply(self.tools["kubectl"], self.state.kubeconfig, self.folder, cancelled)
        self.say(f"{crd.CRD}: applied after {time.monotonic() - began:.1f} s")


def _moved_to(wanted: Ports, running: Running) -> str:
    moved = [
        f"port {port} is taken, {running.ports[purpose]} instead"
        for purpose, port in wanted.items()
        if port not in (0, running.ports[purpose])
    ]
    return f" ({'; '.join(moved)})" if moved else ""
