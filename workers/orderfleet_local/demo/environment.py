"""The local stack of a demo: starts it, runs kubectl in it, and overrides settings of its parts.

A stack that the demo started keeps running, because the demo ends with links to it.
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
from orderfleet_local.demo.view import Status, Watch, status_of, watching
from orderfleet_local.stack import lifecycle, processes
from orderfleet_local.stack.errors import AlreadyRunning, log_tail
from orderfleet_local.stack.roles import ROLES, Role
from orderfleet_local.stack.state import StackState, inspect, load

_LOG_LINES: Final = 10
_LOG_WIDTH: Final = 400
"""Characters of a line that are shown: a traceback in JSON is one long line."""


@dataclass(frozen=True)
class DemoEnvironment:
    """A running stack."""

    state: StackState
    started: bool
    """Whether this demo started it."""


def start_environment(say: Callable[[str], None]) -> DemoEnvironment:
    """Start the local stack unless it runs already.

    Args:
        say: called with a line for each step.

    Raises:
        StackError: a part failed; the message has the end of its log.
    """
    try:
        return DemoEnvironment(lifecycle.up(say), started=True)
    except AlreadyRunning:
        state = load()
        if state is None:
            raise Failed("the stack runs but its state file is missing; run `make down` and try again") from None
        return DemoEnvironment(state, started=False)


def failure(environment: DemoEnvironment, message: str, responsible: str) -> Failed:
    """Return an error with the end of the log of each part that is down, or else of the responsible part.

    Args:
        environment: the stack.
        message: which wait timed out.
        responsible: name of the part that should have advanced the order.
    """
    down = {part.name: part.state for part in inspect(environment.state.folder) if not part.ok}
    lines = [message]
    for name in down or [responsible]:
        log = environment.state.logs / f"{name}.log"
        lines += [f"{name} {f'is {down[name]}' if name in down else 'is responsible'}; its log ends:"]
        lines += [_end(log) or "(empty)", f"the whole log: {log}"]
    return Failed("\n".join(lines))


def _end(log: Path) -> str:
    lines = log_tail(log, _LOG_LINES).splitlines()
    return "\n".join(line if len(line) <= _LOG_WIDTH else f"{line[:_LOG_WIDTH]} …" for line in lines)


_CALL_TIMEOUT: Final = 20


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl against one API server."""

    program: Path
    kubeconfig: Path
    say: Callable[[str], None]
    """Called with each command as a user would type it."""

    def apply(self, manifest: str, file: str) -> None:
        """Apply a manifest.

        Args:
            manifest: YAML.
            file: its path in the command that is shown.

        Raises:
            Failed: kubectl failed; the message is kubectl's.
        """
        self.say(f"kubectl apply -f {file}")
        self._run(("apply", "-f", "-"), manifest)

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """Merge `spec` into the spec of an Order. Raises as `apply`."""
        change = json.dumps({"spec": spec}, separators=(",", ":"))
        self.say(f"kubectl patch {RESOURCE} {name} --type merge -p '{change}'")
        self._run(("patch", RESOURCE, name, "--type", "merge", "-p", change))

    def status(self, name: str) -> Status:
        """Return an Order's status. Raises as `apply`."""
        return status_of(json.loads(self._run(("get", RESOURCE, name, "-o", "json"))))

    def generation(self, name: str) -> int:
        """Return the generation of an Order's spec. Raises as `apply`."""
        return int(json.loads(self._run(("get", RESOURCE, name, "-o", "json")))["metadata"]["generation"])

    def watch(self, name: str) -> AbstractContextManager[Watch]:
        """Watch an Order's status until the context exits."""
        return watching(self._command(*watch_arguments(name)))

    def _run(self, arguments: tuple[str, ...], text: str | None = None) -> str:
        try:
            result = subprocess.run(
                self._command(*arguments),
                input=text,
                capture_output=True,
                text=True,
                timeout=_CALL_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"kubectl {arguments[0]} did not answer within {_CALL_TIMEOUT} s") from None
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
"""Environment variables by part of the stack."""

_PREFIX: Final = "ORDERFLEET_"
_KILL_TIMEOUT: Final = 5


@dataclass
class Overrides:
    """Changes parts of the stack for a scenario, and restores them."""

    environment: DemoEnvironment
    say: Callable[[str], None]
    _original: dict[str, dict[str, str]] = field(default_factory=dict)

    def apply(self, settings: Settings) -> None:
        """Restart each part with these settings in addition to its own.

        Raises:
            StackError: a part did not become ready.
        """
        for part in settings:
            self._original[part] = self._environment(part)
            self.say(f"restarting {part} with {' '.join(f'{name}={value}' for name, value in settings[part].items())}")
        roles = self._roles({part: {**self._original[part], **added} for part, added in settings.items()})
        lifecycle.restart(*settings, folder=self.environment.state.folder, roles=roles)

    def kill(self, part: str) -> None:
        """Kill a part with SIGKILL; it stays down until `restart_killed`."""
        self._original.setdefault(part, self._environment(part))
        running = processes.find(self.environment.state.folder, part).get(part, ())
        self.say(f"kill -9 {' '.join(str(process.pid) for process in running)}, which is {part}")
        processes.end(running, by=signal.SIGKILL, timeout=_KILL_TIMEOUT)

    def restart_killed(self) -> None:
        """Start the killed parts with their original settings. Raises as `apply`."""
        self.say("starting the killed part again")
        with suppress(AlreadyRunning):
            lifecycle.up(folder=self.environment.state.folder, roles=self._roles(self._original))

    def restore(self) -> None:
        """Restart every part that doesn't run with its original settings. Raises as `apply`."""
        if not self._original:
            return
        changed = [part for part, original in self._original.items() if self._environment(part) != original]
        roles = self._roles(self._original)
        if changed:
            self.say(f"restarting {', '.join(changed)} with their original settings")
            lifecycle.restart(*changed, folder=self.environment.state.folder, roles=roles)
        self._original.clear()

    def _roles(self, environments: Settings) -> list[Role]:
        return [
            replace(role, environment=environments[role.name]) if role.name in environments else role for role in ROLES
        ]

    def _environment(self, part: str) -> dict[str, str]:
        """Return the settings that a part was started with; empty if it is down."""
        running = processes.find(self.environment.state.folder, part).get(part, ())
        with suppress(psutil.Error, IndexError):
            found = processes.leaders(running)[0].environ()
            return {name: value for name, value in found.items() if name.startswith(_PREFIX)}
        return {}


@contextmanager
def overridden(environment: DemoEnvironment, say: Callable[[str], None]) -> Iterator[Overrides]:
    """Yield the overrides of a run; restore all parts on exit, also after Ctrl-C or SIGTERM."""
    overrides = Overrides(environment, say)

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    with _handling((signal.SIGTERM,), interrupt):
        try:
            yield overrides
        finally:
            # Not SIG_IGN, which the processes that are started would inherit.
            with _handling((signal.SIGINT, signal.SIGTERM), lambda _number, _frame: None):
                overrides.restore()


@contextmanager
def _handling(signals: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
