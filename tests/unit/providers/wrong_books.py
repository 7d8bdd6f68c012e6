"""Payment adapters that show wrong books, by the case of the conformance suite that must find it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.payment import Charge, PaymentIntent, ProviderPayment, ProviderStatus
from unit.providers.wrong_adapters import RightAdapter, Wrong, fails


def _shows(when: Callable[[ProviderPayment, bool], bool], **wrong: Any) -> Wrong:
    """An adapter whose look-up shows wrong fields.

    Args:
        when: whether it does so for a payment, which is a charge or an authorization.
        wrong: the fields.
    """

    class Made(RightAdapter):
        async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
            found = await super().look_up(payment)
            if found is None or not when(found, bool(self.kinds(payment)["authorize"])):
                return found
            return found.model_copy(update=wrong)

    return Made


fails("look-up-charged")(_shows(lambda found, late: not late and len(found.movements) == 1, order_id="another"))
fails("look-up-authorized")(
    _shows(lambda found, _: found.status is ProviderStatus.AUTHORIZED and not found.movements, authorized=0)
)
fails("look-up-captured")(
    _shows(lambda found, late: late and found.status is ProviderStatus.CAPTURED, status=ProviderStatus.AUTHORIZED)
)
fails("look-up-voided")(_shows(lambda found, _: found.status is ProviderStatus.VOIDED, status=ProviderStatus.FAILED))
fails("declined")(_shows(lambda found, _: found.status is ProviderStatus.FAILED, reason=""))


@fails("look-up-nothing")
class FindsWhatIsNot(RightAdapter):
    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        asked = payment.model_dump(include={"payment_id", "order_id", "number", "currency", "amount"})
        unknown = ProviderPayment(**asked, reference="none", status=ProviderStatus.FAILED, reason="unknown")
        return await super().look_up(payment) or unknown


@fails("look-up-movements")
class ForgetsKeysOfCaptures(RightAdapter):
    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        found = await super().look_up(payment)
        if found is None:
            return None
        movements = [
            each.model_copy(update={"key": ""}) if "/capture/" in each.key else each for each in found.movements
        ]
        return found.model_copy(update={"movements": tuple(movements)})


@fails("look-up-without-reference")
class NeedsTheReference(RightAdapter):
    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        found = await super().look_up(payment)
        if found is None or payment.reference is not None:
            return found
        return found.model_copy(update={"reference": "another"})


@fails("declined-retried")
class NeverForgivesADecline(RightAdapter):
    async def charge(self, payment: PaymentIntent) -> Charge:
        found = await self.look_up(payment)
        if found is not None and found.status is ProviderStatus.FAILED:
            raise PaymentRefused("declined before")
        return await super().charge(payment)


@fails("pending")
class TakesPendingForCharged(RightAdapter):
    async def charge(self, payment: PaymentIntent) -> Charge:
        return (await super().charge(payment)).model_copy(update={"pending": None})


@fails("list")
class ListsOtherStates(RightAdapter):
    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        async for each in super().payments(since, until):
            yield each.model_copy(update={"status": ProviderStatus.FAILED})


@fails("list-by-time")
class ListsEverything(RightAdapter):
    async def payments(self, _since: datetime, _until: datetime) -> AsyncIterator[ProviderPayment]:
        async for each in super().payments(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
            yield each
