"""Payment providers: the adapters of the `PaymentProvider` port, by name.

The order worker's entry point calls `payment_provider`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.payments.simulated import SimulatedPayments
from orderfleet.ports import PaymentProvider

_KNOWN: Final[Mapping[str, Callable[..., PaymentProvider]]] = {"simulated": SimulatedPayments}


class UnknownPaymentProvider(OrderfleetError):
    """No payment provider has that name; the message lists those there are."""


def payment_provider(name: str, *, ledger: Path | None, latency: timedelta) -> PaymentProvider:
    """The payment provider called `name`.

    Args:
        name: as in the setting `payment_provider`.
        ledger: file of a simulated provider's books; None keeps them in memory.
        latency: how long a simulated provider takes to answer.

    Raises:
        UnknownPaymentProvider: there is none of that name.
    """
    make = _KNOWN.get(name)
    if make is None:
        raise UnknownPaymentProvider(f"no payment provider is called {name!r}; known: {', '.join(sorted(_KNOWN))}")
    return make(ledger=ledger, latency=latency)
