"""Carriers: the adapters of the `Carrier` port, by name.

The shipping worker's entry point calls `carrier`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from orderfleet.carriers.simulated import SimulatedCarrier
from orderfleet.contracts.errors import OrderfleetError
from orderfleet.ports import Carrier

_KNOWN: Final[Mapping[str, Callable[..., Carrier]]] = {"simulated": SimulatedCarrier}


class UnknownCarrier(OrderfleetError):
    """No carrier has that name; the message lists those there are."""


def carrier(name: str, *, ledger: Path | None, latency: timedelta) -> Carrier:
    """The carrier called `name`.

    Args:
        name: as in the setting `carrier`.
        ledger: file of a simulated carrier's books; None keeps them in memory.
        latency: how long a simulated carrier takes to answer.

    Raises:
        UnknownCarrier: there is none of that name.
    """
    make = _KNOWN.get(name)
    if make is None:
        raise UnknownCarrier(f"no carrier is called {name!r}; known: {', '.join(sorted(_KNOWN))}")
    return make(ledger=ledger, latency=latency)
