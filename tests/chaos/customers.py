"""Customers who ask until they are answered, over HTTP and in Kubernetes, and note what they were told.

`storm` sends one for each order. A lost answer, a broken connection and "come back later" make them ask again:
the same request, with the same key. What they were told is evidence; they never look into the record.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
from schedule import Act, Side, Wish
from stormy_stack import StormyStack

from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION

NAMESPACE = "default"
HOME = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
ELSEWHERE = {"street": "2 Side St", "city": "Shelbyville", "state": "IL", "zip": "62565", "country": "US"}
_ANSWER = aiohttp.ClientTimeout(total=10, sock_connect=5)
_LATER = {408, 429, 500, 502, 503, 504}


class Outcome(StrEnum):
    """What a customer was told of a change."""

    TAKEN = "taken"
    QUEUED = "queued"
    """It will be looked at; it may be too late then."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """There is no such order, they say."""


@dataclass
class Told:
    """What one customer was told."""

    wish: Wish
    order_id: str | None = None
    """Once accepted."""
    changes: list[tuple[Act, Outcome, bool]] = field(default_factory=list)
    """In order; whether it was asked for more than once, so that an earlier time may have been the one heard."""
    problems: list[str] = field(default_factory=list)
    """Answers that nobody should get."""


class Customers:
    """Everyone who orders."""

    def __init__(self, api: str, kubernetes: str, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._orders = f"{kubernetes}/apis/{CRD_GROUP}/{CRD_VERSION}/namespaces/{NAMESPACE}/{CRD_PLURAL}"
        self._session = session
        self.told: dict[str, Told] = {}
        self.tries: Counter[str] = Counter()
        """How often something was asked, and how often again, by side."""

    async def order(self, wish: Wish) -> Told:
        """Order, and then do what the wish says, each until it is answered."""
        told = self.told[wish.order_id] = Told(wish)
        await (self._order_over_http(told) if wish.side is Side.HTTP else self._declare(told))
        began = asyncio.get_running_loop().time()
        for after, act in wish.acts:
            await asyncio.sleep(max(0.0, began + after - asyncio.get_running_loop().time()))
            change = self._change_over_http if wish.side is Side.HTTP else self._edit
            outcome, again = await change(wish, act)
            told.changes.append((act, outcome, again))
        return told

    async def _order_over_http(self, told: Told) -> None:
        wish = told.wish
        body: dict[str, Any] = {
            "order_id": wish.order_id,
            "payment_id": wish.payment_id,
            "items": [{"sku": wish.sku, "qty": 2, "price": "9.99"}],
            "address": HOME,
            "review": _review(wish),
            "customer": {"name": "Ada", "email": f"{wish.order_id}@example.com"},
        }
        if wish.deadline:
            body["deadline"] = f"{wish.deadline}s"
        if wish.order_id.endswith("3"):
            # Some leave the choice of an id to the fleet: it follows from the key.
            del body["order_id"]
        status, answer, _again = await self._ask(
            wish, "POST", f"{self._api}/orders", body, {"Idempotency-Key": wish.order_id}
        )
        if status == 201:
            told.order_id = str(answer["order_id"])
        else:
            told.problems.append(f"the order was answered {status}: {answer}")

    async def _change_over_http(self, wish: Wish, act: Act) -> tuple[Outcome, bool]:
        told = self.told[wish.order_id]
        if told.order_id is None:
            return Outcome.UNKNOWN, False
        path = {Act.APPROVE: "approve", Act.REDIRECT: "update-address", Act.CANCEL: "cancel"}.get(act, "cancel-payment")
        body = {"address": ELSEWHERE} if act is Act.REDIRECT else None
        url = f"{self._api}/orders/{told.order_id}/signals/{path}"
        key = {"Idempotency-Key": f"{told.order_id}-{path}"}
        status, answer, again = await self._ask(wish, "POST", url, body, key)
        outcome = {200: Outcome.TAKEN, 202: Outcome.QUEUED, 404: Outcome.UNKNOWN, 409: Outcome.REFUSED}.get(status)
        if outcome is None or outcome is Outcome.UNKNOWN:
            told.problems.append(f"{act} was answered {status}: {answer}")
        return outcome or Outcome.REFUSED, again

    async def _declare(self, told: Told) -> None:
        wish = told.wish
        spec: dict[str, Any] = {
            "paymentId": wish.payment_id,
            "items": [{"sku": wish.sku, "qty": 2, "price": "9.99"}],
            "address": HOME,
            "review": {"mode": _review(wish)["mode"], "timeout": _review(wish)["timeout"]},
        }
        if wish.deadline:
            spec["deadline"] = f"{wish.deadline}s"
        kind = {"apiVersion": f"{CRD_GROUP}/{CRD_VERSION}", "kind": "Order"}
        body = {**kind, "metadata": {"name": wish.order_id}, "spec": spec}
        status, answer, again = await self._ask(wish, "POST", self._orders, body)
        if status == 201 or (again and answer.get("reason") == "AlreadyExists"):
            told.order_id = wish.order_id
        else:
            told.problems.append(f"the Order was answered {status}: {answer}")

    async def _edit(self, wish: Wish, act: Act) -> tuple[Outcome, bool]:
        url = f"{self._orders}/{wish.order_id}"
        if act is Act.DELETE:
            status, answer, again = await self._ask(wish, "DELETE", url)
        else:
            spec = {Act.APPROVE: {"approved": True}, Act.REDIRECT: {"address": ELSEWHERE}}.get(act, {"cancel": True})
            headers = {"Content-Type": "application/merge-patch+json"}
            status, answer, again = await self._ask(wish, "PATCH", url, {"spec": spec}, headers)
        gone = Act.DELETE in {before for before, _outcome, _again in self.told[wish.order_id].changes}
        if status in {200, 202}:
            return Outcome.QUEUED, again
        # A DELETE is asked again by the HTTP library itself, untold, when its connection breaks off at the answer.
        if status == 422 or (status == 404 and (gone or act is Act.DELETE)):
            return Outcome.REFUSED, again
        self.told[wish.order_id].problems.append(f"{act} was answered {status}: {answer}")
        return Outcome.UNKNOWN, again

    async def _ask(
        self, wish: Wish, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], bool]:
        """Ask until there is an answer that is not "later"; the last says whether it took more than once."""
        patience = random.Random(wish.order_id)
        pause, tries = 0.2, 0
        while True:
            tries += 1
            self.tries[f"{wish.side}{', again' if tries > 1 else ''}"] += 1
            try:
                async with self._session.request(method, url, json=body, headers=headers, timeout=_ANSWER) as answer:
                    content = await answer.json(content_type=None)
                    conflict = method == "PATCH" and answer.status == 409
                    if answer.status not in _LATER and not conflict:
                        return answer.status, content if isinstance(content, dict) else {}, tries > 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                pass
            await asyncio.sleep(pause * patience.uniform(0.5, 1.5))
            pause = min(pause * 2, 3.0)


def _review(wish: Wish) -> dict[str, str]:
    return {"mode": "manual" if wish.manual else "auto", "timeout": "20s"}


@asynccontextmanager
async def customers(stack: StormyStack) -> AsyncIterator[Customers]:
    """Customers of a stack, who reach it through lines of their own."""
    pki = stack.parts.kubeconfig.parent / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        yield Customers(stack.parts.api_url, stack.parts.apiserver_url, session)
