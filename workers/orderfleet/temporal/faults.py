"""Injected faults for demos and tests: attempts that fail or hang, by step and rate. Off by default.

Which attempt fails is a pure function of the seed and the attempt, so a run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from temporalio import activity

from orderfleet.domain.durations import parse_duration
from orderfleet.domain.errors import OrderfleetError

STEPS: Final = (
    "receive",
    "validate",
    "charge",
    "prepare_package",
    "capture_payment",
    "dispatch_carrier",
    "begin_refund",
    "refund",
    "void_payment",
    "void_booking",
)
"""Activities that faults can be injected into."""

FLAKY: Final = "all:error=0.3333,hang=0.3333,length=300s"
"""One third of the attempts fail, one third hang for 300 s, one third are fine."""

_SHAPE: Final = (
    "write `flaky`, or `charge:error=0.3,hang=0.1,length=300s,attempts=2;seed=7` (`all` for every step, `attempts` for"
    " the first ones only)"
)


class InjectedFault(OrderfleetError):
    """An injected fault. Retried."""


@dataclass(frozen=True)
class Fault:
    """The faults of one step."""

    error: float = 0.0
    """Share of the attempts that fail."""
    hang: float = 0.0
    """Share of the attempts that hang first."""
    length: timedelta = timedelta(seconds=300)
    """Duration of a hang; the attempt's timeout can end it sooner."""
    attempts: int = 0
    """Number of attempts of a step that can fail or hang, from the first; 0 is all of them."""


@dataclass(frozen=True)
class FaultPlan:
    """The faults of a worker."""

    by_step: Mapping[str, Fault] = field(default_factory=dict)
    seed: int = 0

    def draw(self, step: str, key: str, attempt: int = 1) -> Fault | None:
        """Return the fault of one attempt.

        Args:
            step: name of the activity.
            key: identifies the attempt; the same key draws the same fault.
            attempt: its number, from 1.

        Returns:
            A fault with `error=1` or `hang=1`; None without a fault.
        """
        fault = self.by_step.get(step)
        if fault is None or 0 < fault.attempts < attempt:
            return None
        number = random.Random(f"{self.seed}/{step}/{key}").random()  # noqa: S311 - a repeatable draw, no secret
        if number < fault.error:
            return Fault(error=1)
        return Fault(hang=1, length=fault.length) if number < fault.error + fault.hang else None

    async def inject(self, info: activity.Info) -> None:
        """Fail or hang if the plan has a fault for this attempt. Call it before the activity does its work.

        Raises:
            InjectedFault: the attempt fails.
        """
        if not self.by_step:
            return
        kind = "local" if info.is_local else "regular"
        key = f"{info.workflow_id}/{kind}/{info.activity_id}/{info.attempt}"
        fault = self.draw(info.activity_type, key, info.attempt)
        if fault is None:
            return
        if fault.error:
            raise InjectedFault(f"injected fault in {info.activity_type}, attempt {info.attempt}")
        await asyncio.sleep(fault.length.total_seconds())


def parse_faults(text: str) -> FaultPlan:
    """Parse the `faults` setting.

    Raises:
        ValueError: a step or a number is invalid; the message shows the notation.
    """
    seed, by_step = 0, {}
    for part in filter(None, (FLAKY if text.strip() == "flaky" else text).replace(" ", "").split(";")):
        name, _, values = part.partition(":")
        if name.startswith("seed="):
            seed = _number(name.removeprefix("seed="), int)
            continue
        if name != "all" and name not in STEPS:
            raise ValueError(f"{name!r} is not a step ({', '.join(STEPS)}): {_SHAPE}")
        fault = _fault(values)
        by_step.update(dict.fromkeys(STEPS if name == "all" else (name,), fault))
    return FaultPlan(by_step=by_step, seed=seed)


def _fault(values: str) -> Fault:
    fields = {key: value for key, _, value in (pair.partition("=") for pair in values.split(","))}
    unknown = fields.keys() - {"error", "hang", "length", "attempts"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown)) or values!r} is not error, hang, length or attempts: {_SHAPE}")
    fault = Fault(
        error=_number(fields.get("error", "0"), float),
        hang=_number(fields.get("hang", "0"), float),
        length=parse_duration(fields.get("length", "300s")),
        attempts=_number(fields.get("attempts", "0"), int),
    )
    if min(fault.error, fault.hang) < 0 or fault.error + fault.hang > 1:
        raise ValueError(f"error and hang are shares of all attempts, together at most 1: {_SHAPE}")
    return fault


def _number(text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number: {_SHAPE}") from None
