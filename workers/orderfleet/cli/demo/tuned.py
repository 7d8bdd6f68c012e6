"""Parts of the stack with other settings for as long as a scenario runs, and with their own again afterwards.

`play` uses it. It must never leave a part with a scenario's settings: they are put back also when
the scenario fails or is interrupted, and Ctrl-C doesn't stop that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psutil

from orderfleet import stack
from orderfleet.cli.demo.stage import Stage
from orderfleet.stack import processes
from orderfleet.stack.roles import ROLES, Role

Settings = Mapping[str, Mapping[str, str]]
"""Environment variables by the part that is given them."""

_OURS: Final = "ORDERFLEET_"
_KILL_SECONDS: Final = 5


@dataclass
class Tuned:
    """The parts that run with a scenario's settings now."""

    stage: Stage
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
def tuned(stage: Stage, say: Callable[[str], None]) -> Iterator[Tuned]:
    """Give what changes parts of the stack; at the end they are as they were."""
    made = Tuned(stage, say)
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
