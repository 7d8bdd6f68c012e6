"""One Order as `kubectl get --watch` tells it: the arguments, and its stream split into what happened.

The demo and the kubectl plugin run kubectl with them. A watch of `get NAME` must never be used: kubectl reads the
object, begins a watch at what is then now, and drops the first event of it as the object it printed; a change
between the two is not told. A watch of a list goes on from the list's own version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from orderfleet.contracts.names import CRD_GROUP, CRD_PLURAL

RESOURCE: Final = f"{CRD_PLURAL}.{CRD_GROUP}"
"""The full name, because other products have a kind `Order` too."""

LIFETIME: Final = 10
"""Seconds after which a watch ends and is to be begun anew: one that hangs, or whose Order went unseen, is noticed."""


class Told(NamedTuple):
    """One event of a watch."""

    order: dict[str, Any]
    deleted: bool


def watch_of(name: str) -> tuple[str, ...]:
    """Kubectl's arguments for the Order now, if it is there, and each change of it."""
    one = ("--field-selector", f"metadata.name={name}")
    return ("get", RESOURCE, *one, "--output-watch-events", "-o", "json", "--watch", f"--request-timeout={LIFETIME}s")


def told_by(lines: Iterable[str]) -> Iterator[Told]:
    """Read the events that kubectl prints, one a line; the last line may be cut off where kubectl was killed."""
    for line in lines:
        if line.endswith("\n"):
            event = json.loads(line)
            yield Told(event["object"], deleted=event["type"] == "DELETED")
