"""Runs steps in parallel, each as soon as the steps that it needs are done.

`run` must never return while a step still runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_JOIN_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """A unit of work; `run` gets an event that is set when it has to stop."""

    name: str
    needs: tuple[str, ...]
    run: Callable[[threading.Event], None]


def run(steps: Sequence[Step]) -> None:
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
