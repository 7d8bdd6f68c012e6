"""Processes of an installation that charges by Stripe, Stripe's server of the tests, and what both must agree on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from stripe_server import books
from stripe_server.process import StripeProcess, stripe_process
from stripe_server.server import KEY
from support.documents import PROVIDERS, files
from support.factories import order_json
from support.polling import eventually
from support.role_processes import RoleProcesses

WEBHOOK_SECRET: Final = "whsec_shop"
ENDS: Final = {"shipped", "delivered", "canceled", "failed"}

Object = dict[str, Any]


class StripeShop:
    """A running installation. Order ids are those of one Temporal server, so each is used once.

    Args:
        stripe: the payment provider.
        caller: of the API.
        database_url: of the order store.
        key_file: of the API key.
        secret_file: of the signing secrets of the webhooks.
        environment: of a command line.
    """

    def __init__(
        self,
        stripe: StripeProcess,
        caller: httpx.AsyncClient,
        database_url: str,
        key_file: Path,
        secret_file: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.stripe, self.caller, self.database_url = stripe, caller, database_url
        self.key_file, self.secret_file = key_file, secret_file
        self._environment = environment

    async def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call Stripe's server, as `StripeProcess.call`."""
        return await asyncio.to_thread(self.stripe.call, name, *args, **options)

    async def orderfleet(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the command line; return its exit status and its output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orderfleet", *arguments),
            env={**os.environ, **self._environment},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, output.decode()

    async def order(self, order_id: str, method: str = books.CARD, capture: str = "immediate", **changes: Any) -> None:
        """Post an order of 19.98 USD."""
        terms = {"payment": {"method": method, "capture": capture}, "review": {"mode": "auto"}, **changes}
        await self._answered("POST", "/orders", json=order_json(order_id, **terms))

    async def status(self, order_id: str) -> Object:
        return (await self._answered("GET", f"/orders/{order_id}")).json()

    async def payment(self, order_id: str) -> Object:
        """The payment with its ledger, as the API has it."""
        return (await self._answered("GET", f"/orders/{order_id}/payment")).json()

    async def _answered(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again while the API is too busy."""
        answer = await eventually(
            lambda: self.caller.request(method, path, **options), lambda answer: answer.status_code != 503, interval=0.2
        )
        assert answer.is_success, answer.text
        return answer

    async def until(self, order_id: str, holds: Callable[[Object], object], seconds: float = 60) -> Object:
        """Wait until the recorded status of an order meets a condition, and return it."""
        return await eventually(lambda: self.status(order_id), holds, seconds=seconds, interval=0.1)

    async def until_ended(self, order_id: str, seconds: float = 60) -> tuple[str, str | None]:
        """Wait until an order has ended and no refund is pending; return its step and the status of its payment."""
        found = await self.until(order_id, has_ended, seconds)
        return found["step"], found["payment"]["status"]

    async def until_pending(self, order_id: str) -> Object:
        """Wait until the payment of an order waits for the customer, and return the payment."""
        found = await self.until(order_id, lambda status: status["payment"]["status"] == "PENDING")
        return found["payment"]

    async def change(self, order_id: str, signal: str, **body: Any) -> None:
        await self._answered("POST", f"/orders/{order_id}/signals/{signal}", json=body)

    async def refund(self, order_id: str, amount: str, refund_id: str) -> Object:
        """Refund an amount, wait until it has ended, and return it."""
        body = {"amount": amount, "refund_id": refund_id}
        await self._answered("POST", f"/orders/{order_id}/refunds", json=body)

        async def found() -> Object | None:
            refunds = (await self._answered("GET", f"/orders/{order_id}/refunds")).json()["refunds"]
            return next((one for one in refunds if one["refund_id"] == refund_id and one["status"] != "pending"), None)

        return await eventually(found, interval=0.1)

    async def kinds(self, order_id: str) -> list[str]:
        """The kinds of the events of an order's audit trail."""
        answer = await self._answered("GET", f"/orders/{order_id}/events", params={"limit": 200})
        return [event["kind"] for event in answer.json()["events"]]

    async def intents(self, order_id: str) -> list[Object]:
        """The PaymentIntents of an order."""
        return await asyncio.to_thread(self.stripe.intents, f"pay-{order_id}")

    async def intent(self, order_id: str) -> Object:
        """The one PaymentIntent of an order."""
        (found,) = await self.intents(order_id)
        return found

    async def send_webhooks(self, secret: str = WEBHOOK_SECRET) -> None:
        """Send events to the API from now on, signed by a secret."""
        await self.call("webhooks.send_to", f"{self.caller.base_url}/webhooks/stripe", secret)

    async def webhooks_are_sent(self) -> None:
        """Wait until every event has been accepted."""
        await eventually(lambda: self.call("webhooks.left"), lambda left: left == 0, interval=0.1)

    async def check(self) -> None:
        """Check that Stripe, the ledger and the orders agree."""
        await self.webhooks_are_sent()
        assert await disagreements(self.stripe, self.database_url) == {}


def has_ended(status: Object) -> bool:
    """Whether an order has ended and no refund of it is pending."""
    return status["step"] in ENDS and status["payment"]["status"] != "REFUNDING"


async def disagreements(stripe: StripeProcess, database_url: str) -> dict[str, list[str]]:
    """What differs between Stripe's books, the ledger and the orders, by payment; every order has ended."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "select p.*, r.step, r.payment_status from payments p join recorded_orders r on r.order_id = p.order_id"
        )
    finally:
        await connection.close()
    intents, refunds, disputes = await asyncio.to_thread(
        lambda: [list(stripe.call(f"books.{name}").values()) for name in ("intents", "refunds", "disputes")]
    )
    found = {}
    for row in rows:
        own = [each for each in intents if each["metadata"].get("orderfleet_payment_id") == row["payment_id"]]
        ids = {each["id"] for each in own}
        problems = _problems(
            row,
            own,
            sum(each["amount"] for each in refunds if each["payment_intent"] in ids and each["status"] != "failed"),
            sum(each["amount"] for each in disputes if each["payment_intent"] in ids and each["open"]),
        )
        if problems:
            found[row["payment_id"]] = problems
    return found


def _problems(row: Any, intents: list[Object], refunded: int, charged_back: int) -> list[str]:
    received = [each["amount_received"] for each in intents if each["amount_received"]]
    statuses = sorted(each["status"] for each in intents)
    kept = sum(received) - refunded
    shipped = row["step"] in {"shipped", "delivered"}
    checks = {
        "one PaymentIntent at most takes money": len(received) <= 1,
        "captured": row["captured"] == sum(received),
        "refunded": row["refunded"] == refunded,
        "charged back": row["charged_back"] == charged_back,
        "the order's status is that of the ledger": row["payment_status"] == row["status"],
        "an ended order holds no authorization": not {"requires_capture", "requires_action"} & set(statuses),
        "a shipped order is paid": not shipped or sum(received) == row["amount"],
        "an order that did not ship is not": shipped or kept in {0, charged_back},
    }
    wrong = [name for name, holds in checks.items() if not holds]
    return [*wrong, f"{dict(row)}", f"{statuses} {received} -{refunded} -{charged_back}"] if wrong else []


@asynccontextmanager
async def stripe_shop(environment: Mapping[str, str], folder: Path) -> AsyncIterator[StripeShop]:
    """Start Stripe's server, an order worker, a shipping worker and an API, with the settings of `providers.md`.

    Args:
        environment: of all processes.
        folder: for their files.
    """
    key_file, secret_file = folder / "stripe-key", folder / "stripe-webhooks"
    key_file.write_text(f"{KEY}\n")
    secret_file.write_text(f"{WEBHOOK_SECRET}\n")
    async with AsyncExitStack() as stack:
        stripe = stack.enter_context(stripe_process())
        own = {
            **environment,
            **documented_settings(),
            "ORDERFLEET_PAYMENT_URL": stripe.url,
            "ORDERFLEET_PAYMENT_TOKEN_FILE": str(key_file),
            "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": str(secret_file),
            "ORDERFLEET_SIMULATED_LEDGER": str(folder / "carrier.db"),
        }
        processes = RoleProcesses(stack, own, folder)
        workers = [await processes.worker(kind) for kind in ("orders", "shipping")]
        api = await processes.api()
        for process in (*workers, api):
            await process.answers("/readyz", 200)
        caller = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30))
        shop = StripeShop(stripe, caller, environment["ORDERFLEET_DATABASE_URL"], key_file, secret_file, own)
        await shop.send_webhooks()
        yield shop


def documented_settings() -> dict[str, str]:
    """The settings of the page on Stripe."""
    lines = files(PROVIDERS)["stripe.env"].splitlines()
    return dict(line.strip().split("=", 1) for line in lines if "=" in line)
