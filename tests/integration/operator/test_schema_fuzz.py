"""Random valid and invalid Orders at the real API server: each admitted one can be read and started, or order
validation names the field; each rejection names the field."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

from orderfleet.domain.order import OrderInput
from orderfleet.domain.validation import problems
from orderfleet.operator.crd import OrderResource, order_input, spec_update
from orderfleet.settings import Settings
from support.factories import ADDRESS_JSON, order_manifest

ORDERS = 150
SEED = 28
TEXTS = [
    "",
    " ",
    "a",
    "Zoë",
    "\u202e",
    "\x00",
    "a" * 129,
    "a" * 400,
    "☃" * 64,
    "-",
    "..",
    "0",
    "null",
    "<b>",
    "a b",
    "\n",
]
TIMES = [
    "",
    "0s",
    "1ms",
    "250ms",
    "1h30m",
    "24h",
    "9999999h",
    "1.5h",
    "-1s",
    "1d",
    "\u0661h",
    "1h 1m",
    "00001s",
    "99999999999h",
    "0.4us",
    "0.0004ms",
    "1us",
    "999999h",
    "999999h1us",
]
PRICES = [
    "0",
    "0.0001",
    "9999999999.9999",
    "10000000000",
    "1e3",
    "-1",
    "NaN",
    "Infinity",
    "1.",
    ".5",
    "1.00000",
    "\uff11",
    "",
]
NUMBERS = [0, 1, -1, 1000000, 1000001, 2**31, 2**63 - 1, 1.5, 1e20]
OTHER_TYPES = [None, True, False, [], {}, "x", 7]


def mutated(rng: random.Random) -> dict[str, Any]:
    """A valid spec with one to three changes."""
    spec: dict[str, Any] = {"items": [{"sku": "tea", "qty": 1, "price": "2.50"}], "address": dict(ADDRESS_JSON)}
    text, time = (lambda: rng.choice(TEXTS)), (lambda: rng.choice(TIMES))
    changes = [
        lambda: spec["items"][0].update(sku=text()),
        lambda: spec["items"][0].update(qty=rng.choice([*NUMBERS, *OTHER_TYPES])),
        lambda: spec["items"][0].update(price=rng.choice([*PRICES, *OTHER_TYPES])),
        lambda: spec["items"].append(rng.choice([{"sku": "b", "qty": 2}, {"sku": "b"}, {}, "x", None])),
        lambda: spec["address"].update({rng.choice(list(ADDRESS_JSON)): rng.choice([text(), *OTHER_TYPES])}),
        lambda: spec.update(orderId=text()),
        lambda: spec.update(paymentId=text()),
        lambda: spec.update(currency=rng.choice(["USD", "XXX", "JPY", "usd", "\uff35\uff33\uff24", text()])),
        lambda: spec.update(customer={"name": text(), "email": rng.choice(["a@b.c", "@", text()])}),
        lambda: spec.update(review={"mode": rng.choice(["auto", "manual", "x"]), "timeout": time()}),
        lambda: spec.update(review={"onTimeout": rng.choice(["approve", "cancel", ""]), "timeout": time()}),
        lambda: spec.update(deadline=time()),
        lambda: spec.update(delivery={"confirm": rng.choice(OTHER_TYPES), "timeout": time()}),
        lambda: spec.update(approved=rng.choice(OTHER_TYPES), cancel=rng.choice([True, False])),
        lambda: spec.update(cancel=True, cancelReason=text()),
        lambda: spec.update(deletionPolicy=rng.choice(["Cancel", "Orphan", "Keep"])),
    ]
    for change in rng.sample(changes, rng.randint(1, 3)):
        if isinstance(spec["items"][0], dict):
            change()
    return spec


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents of a text, one after the other, or those of a list of them."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        yield from document.get("items", [document])
        text = text[end:]


def test_schema_and_operator_agree(kubernetes):
    rng = random.Random(SEED)
    made = {f"fuzz-{number}": order_manifest(f"fuzz-{number}", **mutated(rng)) for number in range(ORDERS)}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(made.values())})
    result: subprocess.CompletedProcess[str] = kubernetes._run(
        ("create", "--validate=false", "--dry-run=server", "-o", "json", "-f", "-"), listed
    )
    admitted = {body["metadata"]["name"]: body for body in documents(result.stdout)}
    assert ORDERS / 10 < len(admitted) < ORDERS * 9 / 10, result.stderr
    for name, body in admitted.items():
        order = OrderResource.model_validate(body)
        assert spec_update(order).address == order.spec.address
        # The workflow's input is sent as JSON.
        start = order_input(order, Settings(require_prices=False))
        assert OrderInput.model_validate_json(start.model_dump_json()) == start
        # Only the currencies, and what a country requires of an address, are not in the schema.
        found = {problem.partition(":")[0] for problem in problems(start)} - {"currency"}
        assert found <= {f"address.{each}" for each in ADDRESS_JSON}, name
    messages = [line for line in result.stderr.splitlines() if "fuzz-" in line]
    assert len(messages) == ORDERS - len(admitted)
    assert all("spec." in message for message in messages)
