"""Where a demo takes place: the local stack, brought up when it isn't, and what is told when a part fails.

`command` calls it. It leaves a stack running that it started: the links it prints are of use only then.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil

from orderfleet.cli.errors import Failed
from orderfleet.cli.plugin import RESOURCE, watch_arguments
from orderfleet_local import stack
from orderfleet_local.demo.view import Status, Watch, status_of, watching
from orderfleet_local.stack import processes
from orderfleet_local.stack.errors import log_tail
from orderfleet_local.stack.roles import ROLES, Role
from orderfleet_local.stack.status import inspect

_TAIL: Final = 10

_WIDTH: Final = 400

"""A traceback in JSON is one long line."""


@dataclass(frozen=True)
class DemoEnvironment:
    """A stack that is up."""

    state: stack.StackState
    started: bool
    """By this demo."""


def ready(say: Callable[[str], None]) -> DemoEnvironment:
    """Bring the stack up, or find it up.

    Raises:
        StackError: a part failed; the message carries the end of its log.
    """
    try:
        return DemoEnvironment(stack.up(say), started=True)
    except stack.AlreadyRunning:
        state = stack.load()
        if state is None:
            raise Failed("the stack runs and its state file is gone; `make down`, then again") from None
        return DemoEnvironment(state, started=False)


def failure(stage: DemoEnvironment, what: str, suspect: str) -> Failed:
    """What to tell when the order did not get where it should: the parts that are down, else the suspect.

    Args:
        stage: where it happened.
        what: which wait was in vain.
        suspect: the part whose work that is.
    """
    down = {part.name: part.state for part in inspect(stage.state.folder) if not part.fine}
    lines = [what]
    for name in down or [suspect]:
        log = stage.state.logs / f"{name}.log"
        lines += [f"{name} {f'is {down[name]}' if name in down else 'should have done it'}; its log ends:"]
        lines += [_end(log) or "(empty)", f"the whole log: {log}"]
    return Failed("\n".join(lines))


def _end(log: Path) -> str:
    lines = log_tail(log, _TAIL).splitlines()
    return "\n".join(line if len(line) <= _WIDTH else f"{line[:_WIDTH]} …" for line in lines)


_CALL_SECONDS: Final = 20


@dataclass(frozen=True)
class Kubectl:
    """The program, and the API server it is for."""

    program: Path
    kubeconfig: Path
    say: Callable[[str], None]
    """Told each command as a user would type it."""

    def apply(self, manifest: str, shown: str) -> None:
        """Apply a manifest; `shown` is the file to tell.

        Raises:
            Failed: kubectl refused it; the message is kubectl's.
        """
        self.say(f"kubectl apply -f {shown}")
        self._run(("apply", "-f", "-"), manifest)

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """Merge `spec` into an Order's. Raises as `apply`."""
        change = json.dumps({"spec": spec}, separators=(",", ":"))
        self.say(f"kubectl patch {RESOURCE} {name} --type merge -p '{change}'")
        self._run(("patch", RESOURCE, name, "--type", "merge", "-p", change))

    def status(self, name: str) -> Status:
        """The Order's status now. Raises as `apply`."""
        return status_of(json.loads(self._run(("get", RESOURCE, name, "-o", "json"))))

    def generation(self, name: str) -> int:
        """The number of the Order's present spec. Raises as `apply`."""
        return int(json.loads(self._run(("get", RESOURCE, name, "-o", "json")))["metadata"]["generation"])

    def watch(self, name: str) -> AbstractContextManager[Watch]:
        """Follow an Order's status until the context is left."""
        return watching(self._command(*watch_arguments(name)))

    def _run(self, arguments: tuple[str, ...], text: str | None = None) -> str:
        try:
            result = subprocess.run(
                self._command(*arguments),
                input=text,
                capture_output=True,
                text=True,
                timeout=_CALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"kubectl {arguments[0]} did not answer within {_CALL_SECONDS} s") from None
        if result.returncode != 0:
            raise Failed(f"kubectl {arguments[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def _command(self, *arguments: str) -> list[str]:
        cache = self.kubeconfig.parent / "kubectl-cache"
        return [
            str(self.program),
            *("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(cache), "--namespace", "default"),
            *arguments,
        ]


Settings = Mapping[str, Mapping[str, str]]

"""Environment variables by the part that is given them."""


_OURS: Final = "ORDERFLEET_"

_KILL_SECONDS: Final = 5


@dataclass
class Overrides:
    """The parts that run with a scenario's settings now."""

    stage: DemoEnvironment
    say: Callable[[str], None]
    _own: dict[str, dict[str, str]] = field(default_factory=dict)

    def tune(self, settings: Settings) -> None:
        """Restart each part with its settings beside those it has.

        Raises:
            StackError: a part did not get ready.
        """
        for part in settings:
            self._own[part] = self._environment(part)
            self.say(f"restarting {part} with {' '.join(f'{name}={value}' for name, value in settings[part].items())}")
        roles = self._roles({part: {**self._own[part], **own} for part, own in settings.items()})
        stack.restart(*settings, folder=self.stage.state.folder, roles=roles)

    def kill(self, part: str) -> None:
        """End a part by SIGKILL, as a crash would; it stays down until `revive`."""
        self._own.setdefault(part, self._environment(part))
        running = processes.find(self.stage.state.folder, part).get(part, ())
        self.say(f"kill -9 {' '.join(str(process.pid) for process in running)}, which is {part}")
        processes.end(running, by=signal.SIGKILL, bound=_KILL_SECONDS)

    def revive(self) -> None:
        """Start what was killed, with its own settings. Raises as `tune`."""
        self.say("the stack starts what is missing again")
        with suppress(stack.AlreadyRunning):
            stack.up(folder=self.stage.state.folder, roles=self._roles(self._own))

    def put_back(self) -> None:
        """Restart every part that hasn't its own settings, and start what is down. Raises as `tune`."""
        if not self._own:
            return
        changed = [part for part, own in self._own.items() if self._environment(part) != own]
        roles = self._roles(self._own)
        if changed:
            self.say(f"restarting {', '.join(changed)} with the settings of before")
            stack.restart(*changed, folder=self.stage.state.folder, roles=roles)
        self._own.clear()

    def _roles(self, environments: Settings) -> list[Role]:
        return [
            replace(role, environment=environments[role.name]) if role.name in environments else role for role in ROLES
        ]

    def _environment(self, part: str) -> dict[str, str]:
        """The settings that a part was started with; empty when it is down."""
        running = processes.find(self.stage.state.folder, part).get(part, ())
        with suppress(psutil.Error, IndexError):
            found = processes.leaders(running)[0].environ()
            return {name: value for name, value in found.items() if name.startswith(_OURS)}
        return {}


@contextmanager
def overridden(stage: DemoEnvironment, say: Callable[[str], None]) -> Iterator[Overrides]:
    """Give what changes parts of the stack; at the end they are as they were."""
    made = Overrides(stage, say)
    with _termination_as_interrupt():
        try:
            yield made
        finally:
            with _undisturbed():
                made.put_back()


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let `kill` end a demo as Ctrl-C does: with everything put back."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    with _handling((signal.SIGTERM,), interrupt):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    # A handler that does nothing: a part that is started here would inherit that a signal is ignored.
    with _handling((signal.SIGINT, signal.SIGTERM), lambda _number, _frame: None):
        yield


@contextmanager
def _handling(signals: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
