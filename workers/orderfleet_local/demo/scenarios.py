"""What can be done to a demo's order: wait for a step, edit its spec, crash a part under it.

`scenarios` puts them together. Each works through `Play`, and waits on what is to be seen, never
for a length of time.
"""

from __future__ import annotations

from typing import Any, Final

from orderfleet.domain.status import Step
from orderfleet_local.demo import checks
from orderfleet_local.demo.checks import asked_to_charge_again, charged, every_attempt_told, parcels
from orderfleet_local.demo.runner import ENDS, Move, Play, Scenario


def reach(step: Step) -> Move:
    """Wait until the Order's own status says `step`."""
    return lambda play: play.until(lambda status: status.get("step") in {step, *ENDS}, str(step))


def edit(**spec: Any) -> Move:
    """Patch the Order's spec, as anybody would with kubectl."""
    return lambda play: play.kubectl.patch(play.name, spec)


def taken() -> Move:
    """Wait until the order has answered the last edit."""
    return lambda play: play.until_answered()


def charged_at_the_provider() -> Move:
    """Wait until the provider has taken the money, which nobody else needs to know yet."""
    return lambda play: play.wait(
        lambda: checks.charged_at_the_provider(play.stage, play.name), "a charge in the provider's books"
    )


def crash(part: str) -> Move:
    """Kill a part as the kernel would; then let the stack start it again."""

    def move(play: Play) -> None:
        play.tuned.kill(part)
        play.tuned.revive()

    return move


_APPROVED: Final = (reach(Step.MANUAL_REVIEW), edit(approved=True))

_ONCE: Final = (charged(1), parcels(1))


_SHORT_ATTEMPTS: Final = {
    "ORDERFLEET_CHARGE_TIMEOUT": "3s",
    "ORDERFLEET_PREPARE_PACKAGE_TIMEOUT": "3s",
    "ORDERFLEET_DISPATCH_CARRIER_TIMEOUT": "3s",
    "ORDERFLEET_STEP_INITIAL_INTERVAL": "500ms",
}

"""The operator gives these to the orders it starts: an attempt that hangs is given up sooner."""

_FLAKY: Final = "error=0.3333,hang=0.3333,length=4s,attempts=2"

"""The setting `flaky` with shorter hangs; the last of three attempts is spared, so that the order ships."""

_NEW_STREET: Final = "2 Side Street"


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="happy",
            tells="An order is applied, approved by a patch of its spec, charged and shipped.",
            moves=_APPROVED,
            ends=Step.SHIPPED,
            checks=_ONCE,
        ),
        Scenario(
            name="cancel",
            tells="An order is canceled while it waits for its review: nothing is charged.",
            moves=(reach(Step.MANUAL_REVIEW), edit(cancel=True, cancelReason="ordered twice")),
            ends=Step.CANCELED,
            says={"cancelReason": "ordered twice"},
            checks=(charged(0), parcels(0)),
        ),
        Scenario(
            name="address",
            tells="The customer has moved: the package goes to the address the order has when it leaves.",
            moves=(
                reach(Step.MANUAL_REVIEW),
                edit(address={"street": _NEW_STREET, "zip": "97202"}),
                taken(),
                edit(approved=True),
            ),
            ends=Step.SHIPPED,
            checks=(charged(1), parcels(1, street=_NEW_STREET)),
        ),
        Scenario(
            name="review-timeout",
            tells="Nobody approves the order within the 2 s that its spec allows: it is canceled.",
            spec={"review": {"mode": "manual", "timeout": "2s", "onTimeout": "cancel"}},
            moves=(reach(Step.MANUAL_REVIEW),),
            ends=Step.CANCELED,
            says={"cancelReason": "review timed out"},
            checks=(charged(0), parcels(0)),
        ),
        Scenario(
            name="refund",
            tells="The carrier refuses the package for good: what was charged is given back.",
            spec={
                "items": [{"sku": "refuse-dispatch-crate", "qty": 1, "price": "80.00"}],
                "review": {"mode": "auto"},
            },
            moves=(),
            ends=Step.FAILED,
            says={"dispatchFailedReason": "doesn't take"},
            checks=(charged(1, given_back=1), parcels(0)),
        ),
        Scenario(
            name="flaky",
            tells="A third of the attempts at each step fail and a third hang: the order ships all the same.",
            settings={
                "orders-worker": {"ORDERFLEET_FAULTS": f"charge:{_FLAKY}"},
                "shipping-worker": {"ORDERFLEET_FAULTS": f"prepare_package:{_FLAKY};dispatch_carrier:{_FLAKY}"},
                "operator": _SHORT_ATTEMPTS,
            },
            moves=_APPROVED,
            ends=Step.SHIPPED,
            checks=(*_ONCE, every_attempt_told()),
        ),
        Scenario(
            name="worker-crash",
            tells="The order worker is killed when the provider has charged and nobody knows yet: charged once.",
            settings={"orders-worker": {"ORDERFLEET_SIMULATED_LATENCY": "8s"}, "operator": _SHORT_ATTEMPTS},
            moves=(*_APPROVED, charged_at_the_provider(), crash("orders-worker")),
            ends=Step.SHIPPED,
            checks=(*_ONCE, asked_to_charge_again(), every_attempt_told()),
        ),
    )
}
