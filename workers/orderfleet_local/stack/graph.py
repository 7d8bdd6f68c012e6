"""Runs steps in parallel, each as soon as those it needs are done.

`lifecycle` starts the stack with it. It knows nothing of what the steps do, and must never
return while one of them still runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_JOIN_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work; `run` is told when to give up by the event it gets."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[threading.Event], None]


def run(steps: Sequence[Step]) -> None:
    """Run all steps; when one fails, or on Ctrl-C, cancel the others and wait for them.

    Needs that aren't among the steps count as done.

    Raises:
        BaseException: what the first failing step raised.
    """
    cancelled = threading.Event()
    done = {step.name: threading.Event() for step in steps}
    failures: list[BaseException] = []

    def work(step: Step) -> None:
        try:
            for need in step.needs:
                if need in done:
                    done[need].wait()
            if not cancelled.is_set():
                step.run(cancelled)
        except BaseException as failure:  # noqa: BLE001 - handed to the caller below
            failures.append(failure)
            cancelled.set()
        finally:
            # Also after a failure: whoever waits then sees that all is cancelled.
            done[step.name].set()

    threads = [threading.Thread(target=work, args=(step,), name=step.name) for step in steps]
    for thread in threads:
        thread.start()
    try:
        _join(threads)
    except KeyboardInterrupt:
        cancelled.set()
        _join(threads)
        raise
    if failures:
        raise failures[0]


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        # With a bound, because a wait without one keeps Ctrl-C from being seen.
        while thread.is_alive():
            thread.join(_JOIN_STEP)
