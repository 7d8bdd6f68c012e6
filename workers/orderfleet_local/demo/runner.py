"""Runs a scenario: applies its Order, performs its actions, and checks the order once it has ended.

The stack has its own settings again when a run ends, however it ends.
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
from orderfleet_local.demo.checks import Check, Finding, gather_facts, status_is
from orderfleet_local.demo.environment import DemoEnvironment, Kubectl, Overrides, failure, overridden
from orderfleet_local.demo.view import Status, View, Watch

Action = Callable[["ScenarioRun"], None]
"""A change of the order or of the stack, or a wait for a condition."""


@dataclass(frozen=True)
class Scenario:
    """One order, what is done to it, and how it must end."""

    name: str
    description: str
    """What happens, in a sentence."""
    actions: tuple[Action, ...]
    """Performed in turn after the Order was applied. After the last one, the run waits for the order to end."""
    final_step: Step
    """Step that the Order's status must have at the end."""
    checks: tuple[Check, ...]
    """Further checks at the end."""
    final_fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of the final status, and the text that each must contain."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields that replace those of the sample order."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Environment variables during the run, by part of the stack."""


FINAL_STEPS: Final = frozenset({Step.SHIPPED, Step.DELIVERED, Step.CANCELED, Step.FAILED})


_TIMEOUT: Final = 30
"""Seconds that each wait may take."""

_CHECK_TIMEOUT: Final = 10
"""Seconds that the checks have to pass: a refund follows the end of an order."""

_POLL_SECONDS: Final = 0.1


def order_for(scenario: Scenario, sample: Path) -> tuple[str, str]:
    """Return a new order name, because an order id is used once, and the scenario's manifest with it."""
    manifest = yaml.safe_load(sample.read_text())
    name = f"demo-{scenario.name}-{secrets.token_hex(3)}"
    manifest["metadata"]["name"] = name
    manifest["spec"].update(scenario.spec)
    return name, yaml.safe_dump(manifest, sort_keys=False)


@dataclass(frozen=True)
class ScenarioRun:
    """One run of a scenario; its actions use it."""

    environment: DemoEnvironment
    kubectl: Kubectl
    view: View
    overrides: Overrides
    name: str
    watch: Watch

    def wait_for_status(self, condition: Callable[[Status], bool], expected: str) -> None:
        """Wait until the Order's status meets a condition.

        Args:
            condition: whether a status is the expected one.
            expected: names it in the error.

        Raises:
            Failed: the wait timed out; the message has the log of the part that is responsible for the step.
        """
        if self.watch.wait_for(condition, _TIMEOUT, self.view.status) is None:
            step = self.watch.last.get("step") or "no step"
            text = f"the Order's status was not {expected} within {_TIMEOUT} s; it is {step}{self._diagnosis()}"
            raise failure(self.environment, text, _responsible_part(self.watch.last))

    def _diagnosis(self) -> str:
        """Return what is wrong with the watch itself: its error, or a newer status that it missed."""
        error = f" (kubectl get --watch printed nothing: {self.watch.error})" if self.watch.error else ""
        try:
            current = self.kubectl.status(self.name)
        except Failed as failed:
            return f"{error}, and reading it failed: {failed}"
        return error if current == self.watch.last else f"{error}, but kubectl get returns {current.get('step')}"

    def wait_until_observed(self) -> None:
        """Wait until the Order's status has observed its current generation. Raises as `wait_for_status`."""
        generation = self.kubectl.generation(self.name)
        self.wait_for_status(
            lambda status: status.get("observedGeneration", 0) >= generation, f"generation {generation}"
        )

    def wait(self, condition: Callable[[], bool], problem: str) -> None:
        """Wait for a condition outside the Order's status.

        Args:
            condition: whether to stop waiting.
            problem: what the error says if the condition isn't met in time.

        Raises:
            Failed: the wait timed out.
        """
        end = time.monotonic() + _TIMEOUT
        while not condition():
            self.watch.drain(self.view.status)
            if time.monotonic() > end:
                text = f"{problem} within {_TIMEOUT} s"
                raise failure(self.environment, text, _responsible_part(self.watch.last))
            time.sleep(_POLL_SECONDS)


def run_scenario(
    scenario: Scenario, environment: DemoEnvironment, program: Path, view: View, name: str, manifest: str, file: str
) -> list[Finding]:
    """Run a scenario to its end and return the results of its checks.

    Args:
        scenario: what to run.
        environment: the running stack.
        program: kubectl.
        view: shows the commands and each status.
        name: of the Order.
        manifest: the Order as YAML.
        file: its path in the command that the view shows.

    Raises:
        Failed: the order did not end, or a command failed.
        StackError: a part of the stack did not restart.
    """
    kubectl = Kubectl(program, environment.state.kubeconfig, view.command)
    with overridden(environment, view.note) as overrides:
        if scenario.settings:
            overrides.apply(scenario.settings)
        kubectl.apply(manifest, f"{file}{_differences(scenario)}")
        with kubectl.watch(name) as watch:
            run = ScenarioRun(environment, kubectl, view, overrides, name, watch)
            for action in scenario.actions:
                action(run)
            run.wait_for_status(lambda status: status.get("step") in FINAL_STEPS, " or ".join(sorted(FINAL_STEPS)))
            return _check(scenario, run)


def _check(scenario: Scenario, run: ScenarioRun) -> list[Finding]:
    """Run all checks until they pass or the timeout is over; return the last results."""
    checks = (status_is(scenario.final_step, **scenario.final_fields), *scenario.checks)
    end = time.monotonic() + _CHECK_TIMEOUT
    while True:
        facts = gather_facts(run.environment, run.kubectl, run.name)
        run.watch.drain(run.view.status)
        findings = [check(facts) for check in checks]
        if all(finding.passed for finding in findings) or time.monotonic() > end:
            return findings
        time.sleep(_POLL_SECONDS)


def _differences(scenario: Scenario) -> str:
    """Return a comment with the fields in which the scenario's order differs from the file."""
    fields = ", ".join(f"{name}: {json.dumps(value)}" for name, value in scenario.spec.items())
    return f"  # with {fields}" if fields else ""


def _responsible_part(status: Status) -> str:
    """Return the part of the stack that has to advance an order with this status."""
    if not status.get("step"):
        return "operator"
    return "shipping-worker" if status["step"] == Step.SHIPPING else "orders-worker"
