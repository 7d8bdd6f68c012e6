"""Where a demo takes place: the local stack, brought up when it isn't, and what is told when a part fails.

`command` calls it. It leaves a stack running that it started: the links it prints are of use only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orderfleet import stack
from orderfleet.cli.exits import Failed
from orderfleet.stack.errors import log_tail
from orderfleet.stack.status import inspect

_TAIL: Final = 10
_WIDTH: Final = 400
"""A traceback in JSON is one long line."""


@dataclass(frozen=True)
class Stage:
    """A stack that is up."""

    state: stack.StackState
    started: bool
    """By this demo."""


def ready(say: Callable[[str], None]) -> Stage:
    """Bring the stack up, or find it up.

    Raises:
        StackError: a part failed; the message carries the end of its log.
    """
    try:
        return Stage(stack.up(say), started=True)
    except stack.AlreadyRunning:
        state = stack.load()
        if state is None:
            raise Failed("the stack runs and its state file is gone; `make down`, then again") from None
        return Stage(state, started=False)


def failure(stage: Stage, what: str, suspect: str) -> Failed:
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
