"""A simulated payment provider that forgets its idempotency keys: a repeated request moves money again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orderfleet.domain.payment import PaymentIntent, ProviderPayment, ProviderStatus
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.providers.payments.simulated_books import Books
from orderfleet.providers.payments.simulated_entries import Course


class ForgetfulPayments(SimulatedPayments):
    """`PaymentProvider` whose books keep the keys of its movements, and which does not compare them."""

    def forget_keys(self) -> None:
        """From now on, each request is a new one."""
        self.books = _ForgetfulBooks


class _ForgetfulBooks(Books):
    def request(self, kind: str, payment: PaymentIntent, course: Course) -> ProviderPayment:
        row = self._row(payment)
        if row is not None and row["state"] in {ProviderStatus.AUTHORIZED, ProviderStatus.CAPTURED}:
            self._add(kind, row, payment.amount, payment.key)
        return super().request(kind, payment, course)

    def _repeated(self, kind: str, row: Mapping[str, Any], key: str, amount: int) -> str | None:
        return None
