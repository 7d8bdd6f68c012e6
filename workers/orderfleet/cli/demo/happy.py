"""The scenario `happy`: an order is applied, approved by a patch of its spec, charged and shipped."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from orderfleet.cli.demo.kubectl import Kubectl, Status
from orderfleet.cli.demo.stage import Stage, failure
from orderfleet.cli.demo.view import View
from orderfleet.contracts.status import Step

_REVIEW_SECONDS: Final = 30
_SHIPPED_SECONDS: Final = 30
_ENDS: Final = frozenset({Step.SHIPPED, Step.DELIVERED, Step.CANCELED, Step.FAILED})
_SHIPPING: Final = frozenset({Step.SHIPPING})


def order_named(sample: Path, scenario: str) -> tuple[str, str]:
    """The sample under a name of its own, because an order id is used once, ever; name and manifest."""
    manifest = yaml.safe_load(sample.read_text())
    name = f"demo-{scenario}-{secrets.token_hex(3)}"
    manifest["metadata"]["name"] = name
    return name, yaml.safe_dump(manifest, sort_keys=False)


@dataclass(frozen=True)
class Happy:
    """One run of it."""

    stage: Stage
    kubectl: Kubectl
    view: View
    name: str
    manifest: str
    shown: str

    def play(self) -> None:
        """Run it to its end.

        Raises:
            Failed: the Order's own status doesn't say shipped; the message names the part.
        """
        self.kubectl.apply(self.manifest, self.shown)
        with self.kubectl.watch(self.name) as watch:

            def wait(done: Callable[[Status], bool], seconds: float, what: str) -> None:
                if watch.until(done, seconds, self.view.status) is None:
                    said = watch.last.get("step") or "nothing"
                    text = f"the Order's status did not say {what} within {seconds:.0f} s; it says {said}"
                    raise failure(self.stage, text, _suspect(watch.last))

            wait(lambda status: status.get("step") in {Step.MANUAL_REVIEW, *_ENDS}, _REVIEW_SECONDS, "manual_review")
            self.kubectl.patch(self.name, {"approved": True})
            wait(lambda status: status.get("step") in _ENDS, _SHIPPED_SECONDS, "shipped")
        step = self.kubectl.status(self.name).get("step")
        if step != Step.SHIPPED:
            reason = watch.last.get("lastError") or watch.last.get("cancelReason") or "no reason given"
            raise failure(self.stage, f"the order is {step}: {reason}", _suspect(watch.last))


def _suspect(status: Status) -> str:
    """The part whose turn it was."""
    if not status.get("step"):
        return "operator"
    return "shipping-worker" if status["step"] in _SHIPPING else "orders-worker"
