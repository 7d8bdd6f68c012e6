"""Payments that changed after the end of their orders, with failing services and Orders of others."""

from __future__ import annotations

from typing import Any

import pytest

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.operator.cache import Key
from orderfleet.operator.crd import OrderResource
from orderfleet.operator.kubernetes import KubernetesUnavailable, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.status import wanted_status
from orderfleet.operator.unshown_payments import UNFINISHED_RECHECK, UnshownPayments
from orderfleet.settings import Settings
from support.observed_orders import ENDED, NOW, body, observed, record

KEY = Key("shop", "o-1")
REFUNDED = record(Step.SHIPPED, payment=PaymentStatus.REFUNDED, version=7)


def ended_body(**changes: Any) -> dict[str, Any]:
    """An ended Order whose status has the payment of its end."""
    given = {"labels": {ENDED: "true"}, "has_finalizer": False, **changes}
    of = body(**given)
    charged = observed(record(Step.SHIPPED, payment=PaymentStatus.CHARGED))
    return {**of, "status": wanted_status(OrderResource.model_validate(of), charged, NOW)}


class FakeServices:
    """The order store and an API server with one Order; `errors` are raised by the next patches."""

    def __init__(self, order: dict[str, Any] | None, settings: Settings) -> None:
        self.order, self.errors = order, []
        self.patches: list[dict[str, Any]] = []
        self.forgotten: list[tuple[str, int, bool]] = []
        self.delays: list[float] = []
        services: Any = self
        self.payments = UnshownPayments(
            feed=services,
            records=services,
            kubernetes=services,
            settings=settings,
            enqueue=lambda _key, after: self.delays.append(after),
        )

    async def read(self, _order_id: str) -> Any:
        return REFUNDED

    async def payment_shown(self, order_id: str, version: int, *, gone: bool = False) -> None:
        self.forgotten.append((order_id, version, gone))

    async def get(self, _key: Key) -> dict[str, Any]:
        if self.order is None:
            raise ObjectNotFound("404")
        return self.order

    async def patch(self, _key: Key, write: Write, patch: dict[str, Any], version: str) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        assert write is Write.STATUS
        assert self.order is not None
        assert version == self.order["metadata"]["resourceVersion"]
        self.patches.append(patch)
        payment = {**self.order["status"]["payment"], **patch["status"]["payment"]}
        self.order = {**self.order, "status": {**self.order["status"], "payment": payment}}
        return self.order

    async def show(self) -> None:
        self.payments.add("shop/o-1", "o-1")
        await self.payments.show(KEY)


def services(order: dict[str, Any] | None, **settings: Any) -> FakeServices:
    return FakeServices(order, Settings(**settings))


async def test_only_the_payment_and_the_time_of_the_update_are_patched():
    found = services(ended_body())
    await found.show()
    (patch,) = found.patches
    assert set(patch) == {"status"}
    assert patch["status"]["payment"] == {"status": "REFUNDED", "refunded": "2.50"}
    assert set(patch["status"]) <= {"payment", "updatedAt"}
    assert found.forgotten == [("o-1", 7, False)]
    await found.payments.show(KEY)
    assert len(found.patches) == 1


async def test_conflicting_write_is_made_again_from_the_later_object():
    found = services(ended_body())
    found.errors = [ObjectConflict("old")]
    await found.show()
    assert len(found.patches) == 1


async def test_payment_stays_pending_while_the_api_server_is_unavailable():
    found = services(ended_body())
    found.errors = [KubernetesUnavailable("503")]
    with pytest.raises(KubernetesUnavailable):
        await found.show()
    assert found.forgotten == []
    await found.payments.show(KEY)
    assert found.forgotten == [("o-1", 7, False)]


@pytest.mark.parametrize(
    "order",
    [
        None,
        ended_body(uid="uid-2", items=[{"sku": "other", "qty": 1}]),
        ended_body(orderId="another"),
    ],
    ids=["deleted", "other content", "other order id"],
)
async def test_order_that_is_not_of_this_order_is_not_written(order):
    found = services(order)
    await found.show()
    assert found.patches == []
    assert found.forgotten == [("o-1", 7, True)]


async def test_order_of_another_operator_is_left_to_it():
    found = services(ended_body(), operator_selector="shard in (a)")
    await found.show()
    assert (found.patches, found.forgotten) == ([], [])


async def test_order_of_a_namespace_that_is_not_watched_is_not_read():
    found = services(ended_body(), operator_namespaces="elsewhere")
    await found.show()
    assert (found.patches, found.forgotten, found.delays) == ([], [], [])


async def test_order_that_has_not_ended_is_left_to_its_reconciliation():
    order = ended_body()
    del order["status"]["ended"]
    found = services(order)
    await found.show()
    assert (found.patches, found.forgotten) == ([], [])
    assert found.delays == [0.0, UNFINISHED_RECHECK]


async def test_spec_that_cannot_be_read_is_of_this_order_by_its_uid():
    order = ended_body()
    order["spec"] = {"items": "of a later version"}
    found = services(order)
    await found.show()
    assert len(found.patches) == 1
