"""The scenarios of the demo, and the actions that they are made of.

An action patches the Order, kills a part of the stack, or waits for a condition; none waits for a fixed time.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

from orderfleet.cli.errors import Exit, Failed
from orderfleet.domain.status import Step
from orderfleet_local.demo import checks
from orderfleet_local.demo.checks import (
    captured,
    charge_was_looked_up,
    charged,
    every_failed_attempt_recorded,
    parcels,
    refunded_in_part,
)
from orderfleet_local.demo.runner import FINAL_STEPS, Action, Scenario, ScenarioRun


def wait_for_step(step: Step) -> Action:
    """Wait until the Order's status has `step`, or the order has ended."""
    return lambda run: run.wait_for_status(lambda status: status.get("step") in {step, *FINAL_STEPS}, str(step))


def patch_spec(**spec: Any) -> Action:
    """Patch the Order's spec with kubectl."""
    return lambda run: run.kubectl.patch(run.name, spec)


def wait_for_charge(run: ScenarioRun) -> None:
    """Wait until the payment provider has charged, even if no other part has recorded it yet."""
    run.wait(
        lambda: checks.has_provider_charge(run.environment, run.name), "no charge in the payment provider's ledger"
    )


def wait_for_hold(run: ScenarioRun) -> None:
    """Wait until the order is held, because its payment can't be captured."""
    run.wait_for_status(lambda status: bool(status.get("hold")), "held")


def kill_and_restart(part: str) -> Action:
    """Kill a part with SIGKILL, then let the stack start it again."""

    def action(run: ScenarioRun) -> None:
        run.overrides.kill(part)
        run.overrides.restart_killed()

    return action


def refund(*options: str, expected: Exit = Exit.DONE) -> Action:
    """Run `orderfleet payments refund` for the order.

    Args:
        options: of the command.
        expected: its exit status; the action fails with another one.
    """

    def action(run: ScenarioRun) -> None:
        arguments = ("payments", "refund", run.name, *options)
        run.view.command(f"orderfleet {' '.join(arguments)}")
        # The command finds the stack by itself.
        result = subprocess.run(
            (sys.executable, "-m", "orderfleet", *arguments), capture_output=True, text=True, timeout=30, check=False
        )
        text = (result.stdout or result.stderr).strip()
        if result.returncode != expected:
            raise Failed(f"`orderfleet {' '.join(arguments)}` exited with {result.returncode}: {text}")
        run.view.note(text)

    return action


_APPROVE: Final = (wait_for_step(Step.MANUAL_REVIEW), patch_spec(approved=True))
_ONCE: Final = (charged(1), parcels(1))


_SHORT_ATTEMPTS: Final = {
    "ORDERFLEET_CHARGE_TIMEOUT": "3s",
    "ORDERFLEET_PREPARE_PACKAGE_TIMEOUT": "3s",
    "ORDERFLEET_DISPATCH_CARRIER_TIMEOUT": "3s",
    "ORDERFLEET_STEP_INITIAL_INTERVAL": "500ms",
}
"""Settings of the operator, which passes them to the orders that it starts: a hanging attempt times out early."""

_FLAKY: Final = "error=0.3333,hang=0.3333,length=4s,attempts=2"
"""The fault setting `flaky` with shorter hangs; the last of three attempts succeeds, so that the order ships."""

_NEW_STREET: Final = "2 Side Street"


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="happy",
            description="An order is applied, approved by a patch of its spec, charged and shipped.",
            actions=_APPROVE,
            final_step=Step.SHIPPED,
            checks=_ONCE,
        ),
        Scenario(
            name="cancel",
            description="An order is canceled while it waits for its review: nothing is charged.",
            actions=(wait_for_step(Step.MANUAL_REVIEW), patch_spec(cancel=True, cancelReason="ordered twice")),
            final_step=Step.CANCELED,
            final_fields={"cancelReason": "ordered twice"},
            checks=(charged(0), parcels(0)),
        ),
        Scenario(
            name="address",
            description="The address is changed during review: the package is sent to the new address.",
            actions=(
                wait_for_step(Step.MANUAL_REVIEW),
                patch_spec(address={"street": _NEW_STREET, "zip": "97202"}),
                ScenarioRun.wait_until_observed,
                patch_spec(approved=True),
            ),
            final_step=Step.SHIPPED,
            checks=(charged(1), parcels(1, street=_NEW_STREET)),
        ),
        Scenario(
            name="review-timeout",
            description="The order is not approved within the 2 s that its spec allows: it is canceled.",
            spec={"review": {"mode": "manual", "timeout": "2s", "onTimeout": "cancel"}},
            actions=(wait_for_step(Step.MANUAL_REVIEW),),
            final_step=Step.CANCELED,
            final_fields={"cancelReason": "review timed out"},
            checks=(charged(0), parcels(0)),
        ),
        Scenario(
            name="refund",
            description="The carrier rejects the package permanently: the charge is refunded.",
            spec={"items": [{"sku": "refuse-dispatch-crate", "qty": 1, "price": "80.00"}], "review": {"mode": "auto"}},
            actions=(),
            final_step=Step.FAILED,
            final_fields={"dispatchFailedReason": "doesn't take"},
            checks=(charged(1, refunded=1), parcels(0)),
        ),
        Scenario(
            name="authorize",
            description="The payment is authorized, and captured before the package leaves, with the second card.",
            spec={"payment": {"capture": "onShipment", "method": "refuse_capture"}, "review": {"mode": "auto"}},
            actions=(wait_for_hold, patch_spec(payment={"method": "second-card"})),
            final_step=Step.SHIPPED,
            checks=(captured(authorizations=2), parcels(1)),
        ),
        Scenario(
            name="partial-refund",
            description="A shipped order is refunded in parts: a piece of a line, and twice the same amount; no more.",
            spec={
                "items": [{"id": "tea", "sku": "tea-100", "qty": 2, "price": "4.50"}],
                "adjustments": [{"kind": "shipping", "amount": "4.90"}, {"kind": "discount", "amount": "-1.00"}],
                "review": {"mode": "auto"},
            },
            actions=(
                wait_for_step(Step.SHIPPED),
                refund("--line", "tea=1", "--reason", "broken"),
                refund("--amount", "1.00"),
                refund("--amount", "1.00"),
                refund("--amount", "8.00", expected=Exit.REJECTED),
            ),
            final_step=Step.SHIPPED,
            checks=(refunded_in_part("4.00", "1.00", "1.00"), parcels(1)),
        ),
        Scenario(
            name="flaky",
            description="A third of the attempts at each step fail and a third hang: the order still ships.",
            settings={
                "orders-worker": {"ORDERFLEET_FAULTS": f"charge:{_FLAKY}"},
                "shipping-worker": {"ORDERFLEET_FAULTS": f"prepare_package:{_FLAKY};dispatch_carrier:{_FLAKY}"},
                "operator": _SHORT_ATTEMPTS,
            },
            actions=_APPROVE,
            final_step=Step.SHIPPED,
            checks=(*_ONCE, every_failed_attempt_recorded),
        ),
        Scenario(
            name="worker-crash",
            description="The order worker is killed after the provider's charge, before it is recorded: charged once.",
            settings={"orders-worker": {"ORDERFLEET_SIMULATED_LATENCY": "8s"}, "operator": _SHORT_ATTEMPTS},
            actions=(*_APPROVE, wait_for_charge, kill_and_restart("orders-worker")),
            final_step=Step.SHIPPED,
            checks=(*_ONCE, charge_was_looked_up, every_failed_attempt_recorded),
        ),
    )
}
