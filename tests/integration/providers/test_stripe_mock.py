"""Every request of the adapter `stripe` against stripe-mock, which checks it by Stripe's own description of its API.

stripe-mock keeps no state and answers with an example, so each request is sent by itself. Of the state that a request
expects nothing is checked here: `test_stripe.py` does that.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe

from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import CaptureIntent, PaymentIntent
from orderfleet.providers.payments.stripe.api import StripeApi
from orderfleet.providers.payments.stripe.client import API_VERSION, StripeCalls
from orderfleet_local.provision.resolver import provide
from support.polling import eventually_sync

PAYMENT = PaymentIntent(
    payment_id="pay-1", order_id="ord-1", currency="USD", amount=1998, method="pm_card_visa", reference="pi_1"
)
CAPTURE = CaptureIntent(payment=PAYMENT, number=2, amount=500, final=False)


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    program = provide(["stripe-mock"])["stripe-mock"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen([program, "-http-addr", address], stdout=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", int(address.partition(":")[2]))) == 0

    try:
        eventually_sync(listens)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def api(mock: str, tmp_path: Path) -> AsyncIterator[StripeApi]:
    (tmp_path / "key").write_text("sk_test_123")
    async with StripeCalls(
        mock, key_file=tmp_path / "key", ca_file=None, timeout=timedelta(seconds=20), connections=1
    ) as calls:
        yield StripeApi(calls, "https://shop.example.com/paid")


async def first(items: AsyncIterator[Any]) -> object:
    return await anext(items, None)


REQUESTS: dict[str, Callable[[StripeApi], Coroutine[Any, Any, object]]] = {
    "create": lambda api: api.create(PAYMENT, CaptureMode.IMMEDIATE),
    "create_without_redirects": lambda api: StripeApi(api.calls, "").create(PAYMENT, CaptureMode.IMMEDIATE),
    "create_manual": lambda api: api.create(PAYMENT, CaptureMode.ON_SHIPMENT),
    "retrieve": lambda api: api.retrieve("pi_1"),
    "search": lambda api: api.search(PAYMENT),
    "set_customer": lambda api: api.set_customer("pi_1", "cus_1"),
    "confirm": lambda api: api.confirm("pi_1", "pm_card_visa"),
    "confirm_without_method": lambda api: api.confirm("pi_1", ""),
    "capture": lambda api: api.capture("pi_1", CAPTURE),
    "capture_final": lambda api: api.capture("pi_1", CAPTURE.model_copy(update={"final": True})),
    "cancel": lambda api: api.cancel("pi_1"),
    "mark_voided": lambda api: api.mark_voided("pi_1"),
    "refund": lambda api: api.refund("pi_1", 500, PAYMENT, "pay-1/refund/r1/1", once="key"),
    "refunds": lambda api: api.refunds("pi_1"),
    "disputes": lambda api: api.disputes("pi_1"),
    "created": lambda api: first(api.created(0, 1)),
    "moved": lambda api: first(api.moved(0, 1)),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_request_is_accepted_and_its_answer_is_read(api: StripeApi, name: str) -> None:
    await REQUESTS[name](api)


def test_every_request_of_the_adapter_is_in_the_table() -> None:
    methods = {name for name in vars(StripeApi) if not name.startswith("_")}
    assert methods <= REQUESTS.keys()


async def test_unknown_parameter_is_refused(api: StripeApi) -> None:
    """Otherwise stripe-mock would check nothing."""
    with pytest.raises(Exception, match=r"unknown|unexpected|additional properties"):
        await api.calls.send(
            lambda client, options: client.v1.refunds.create_async(
                {"payment_intent": "pi_1", "amounts": 1},  # type: ignore[typeddict-unknown-key]
                options,
            )
        )


def test_pinned_version_is_that_of_the_sdk() -> None:
    assert stripe.api_version == API_VERSION
