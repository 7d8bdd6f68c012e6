"""What a scenario is: an order, what is done to it while it runs, and what must be true in the end.

`scenarios` lists them and `play` plays them. A scenario is data; nothing here does anything.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from orderfleet.cli.errors import Failed
from orderfleet.domain.status import Step
from orderfleet_local.demo.checks import Check, Finding, gather_facts, kubernetes_says
from orderfleet_local.demo.environment import DemoEnvironment, Kubectl, Overrides, failure, overridden
from orderfleet_local.demo.view import Status, View, Watch

Move = Callable[["Play"], None]

"""Something done to the order, or a wait for something that it does."""


@dataclass(frozen=True)
class Scenario:
    """One thing to watch."""

    name: str
    tells: str
    """What is to be seen, in a sentence."""
    moves: tuple[Move, ...]
    """After the order was applied; at their end the order is waited for until it has ended."""
    ends: Step
    """What the Order's own status must say then."""
    checks: tuple[Check, ...]
    """Beside that."""
    says: Mapping[str, str] = field(default_factory=dict)
    """Fields of that status, and what they must contain."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the sample order."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Environment variables that parts of the stack run with meanwhile, by part."""


ENDS: Final = frozenset({Step.SHIPPED, Step.DELIVERED, Step.CANCELED, Step.FAILED})


_SECONDS: Final = 30

"""Longest wait for anything, and for the order's end once all moves are made."""

_JUDGE_SECONDS: Final = 10

"""What follows an order's end, as a refund does, may take so long."""

_POLL: Final = 0.1

_SHIPPING: Final = frozenset({Step.SHIPPING})


def order_for(scenario: Scenario, sample: Path) -> tuple[str, str]:
    """The sample as the scenario wants it, under a name of its own as an order id is used once; name and manifest."""
    manifest = yaml.safe_load(sample.read_text())
    name = f"demo-{scenario.name}-{secrets.token_hex(3)}"
    manifest["metadata"]["name"] = name
    manifest["spec"].update(scenario.spec)
    return name, yaml.safe_dump(manifest, sort_keys=False)


@dataclass(frozen=True)
class Play:
    """One run of a scenario, as its moves see it."""

    stage: DemoEnvironment
    kubectl: Kubectl
    view: View
    tuned: Overrides
    name: str
    watch: Watch

    def until(self, done: Callable[[Status], bool], what: str) -> None:
        """Wait for a status of the Order.

        Raises:
            Failed: it did not come; the message names the part whose turn it was.
        """
        if self.watch.until(done, _SECONDS, self.view.status) is None:
            said = self.watch.last.get("step") or "nothing"
            text = f"the Order's status did not say {what} within {_SECONDS} s; it says {said}{self._doubt()}"
            raise failure(self.stage, text, _suspect(self.watch.last))

    def _doubt(self) -> str:
        """What speaks against the watch itself."""
        trouble = f" (kubectl get --watch told nothing: {self.watch.trouble})" if self.watch.trouble else ""
        try:
            now = self.kubectl.status(self.name)
        except Failed as error:
            return f"{trouble}, and can't be asked: {error}"
        return trouble if now == self.watch.last else f"{trouble}, and asked again {now.get('step') or 'nothing'}"

    def until_answered(self) -> None:
        """Wait until the Order's status answers its present generation. Raises as `until`."""
        generation = self.kubectl.generation(self.name)
        self.until(lambda status: status.get("observedGeneration", 0) >= generation, f"generation {generation}")

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something that the Order's status doesn't tell. Raises as `until`."""
        end = time.monotonic() + _SECONDS
        while not done():
            self.watch.pass_on(self.view.status)
            if time.monotonic() > end:
                raise failure(self.stage, f"there was not {what} within {_SECONDS} s", _suspect(self.watch.last))
            time.sleep(_POLL)


def play(
    scenario: Scenario, stage: DemoEnvironment, program: Path, view: View, name: str, manifest: str, shown: str
) -> list[Finding]:
    """Run a scenario to its end; what was found, and a stack that is as it was before.

    Raises:
        Failed: the order did not come to an end, or a command failed.
        StackError: a part of the stack did not come back.
    """
    kubectl = Kubectl(program, stage.state.kubeconfig, view.command)
    with overridden(stage, view.note) as tuning:
        if scenario.settings:
            tuning.tune(scenario.settings)
        kubectl.apply(manifest, f"{shown}{_differences(scenario)}")
        with kubectl.watch(name) as watch:
            run = Play(stage, kubectl, view, tuning, name, watch)
            for move in scenario.moves:
                move(run)
            run.until(lambda status: status.get("step") in ENDS, " or ".join(sorted(ENDS)))
            return _judged(scenario, run)


def _judged(scenario: Scenario, run: Play) -> list[Finding]:
    """Ask all checks until they agree, or for as long as what follows the end may take."""
    checks = (kubernetes_says(scenario.ends, **scenario.says), *scenario.checks)
    end = time.monotonic() + _JUDGE_SECONDS
    while True:
        facts = gather_facts(run.stage, run.kubectl, run.name)
        run.watch.pass_on(run.view.status)
        findings = [check(facts) for check in checks]
        if all(finding.fine for finding in findings) or time.monotonic() > end:
            return findings
        time.sleep(_POLL)


def _differences(scenario: Scenario) -> str:
    """What the scenario's order has that the file shown has not."""
    fields = ", ".join(f"{name}: {json.dumps(value)}" for name, value in scenario.spec.items())
    return f"  # with {fields}" if fields else ""


def _suspect(status: Status) -> str:
    """The part whose turn it was."""
    if not status.get("step"):
        return "operator"
    return "shipping-worker" if status["step"] in _SHIPPING else "orders-worker"
