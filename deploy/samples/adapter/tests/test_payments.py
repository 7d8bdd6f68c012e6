"""The adapter keeps every guarantee that Orderfleet builds on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme_fleet.bank import Bank
from acme_fleet.payments import AcmePayments
from orderfleet.providers.conformance.bench import Options
from orderfleet.providers.conformance.pytest_plugin import PaymentCase


def test_payments_keep_every_guarantee(payment_case: PaymentCase) -> None:
    bank = Bank()

    @asynccontextmanager
    async def adapter() -> AsyncIterator[AcmePayments]:
        yield AcmePayments(bank)

    @asynccontextmanager
    async def lose_answer() -> AsyncIterator[None]:
        with bank.losing_an_answer():
            yield

    payment_case.run(adapter, Options(declined_method="declined"), lose_answer)
