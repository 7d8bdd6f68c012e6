"""Clients that send requests over HTTP, to Kubernetes and by commands until they are answered, and log the responses.

`storm` starts one client for each order. After a lost response, a broken connection or a retryable status a client
sends the same request again, with the same idempotency key. Clients never read the order store.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from chaos.client_logs import ChangeResult, ClientLog
from chaos.command_line import CommandLine
from chaos.order_plans import PRICE, QUANTITY, Action, Channel, OrderPlan
from chaos.payment_clients import PaymentClients
from chaos.proxied_stack import ProxiedStack
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON

NAMESPACE = "default"
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_RETRIED_STATUSES = {408, 429, 500, 502, 503, 504}


class Clients:
    """All clients of a run, which send orders and changes."""

    def __init__(self, api: str, kubernetes: str, session: aiohttp.ClientSession, command_line: CommandLine) -> None:
        self._api = api
        self._orders = f"{kubernetes}/apis/{CRD_GROUP}/{CRD_VERSION}/namespaces/{NAMESPACE}/{CRD_PLURAL}"
        self._session = session
        self.client_logs: dict[str, ClientLog] = {}
        self.attempts: Counter[str] = Counter()
        """Requests by channel, repeated ones counted separately."""
        self._payments = PaymentClients(self._request, command_line, self._api, self._orders, self.attempts)

    async def order(self, plan: OrderPlan) -> ClientLog:
        """Send the order, then the actions of its plan; return when each was answered."""
        client_log = self.client_logs[plan.order_id] = ClientLog(plan)
        await (self._order_over_http(client_log) if plan.channel is Channel.HTTP else self._create_resource(client_log))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._change(client_log))
            group.create_task(self._payments.retry_when_held(client_log))
            group.create_task(self._refund_early(client_log))
        return client_log

    async def refund_after_end(self, client_log: ClientLog) -> None:
        """Ask for the refunds that the plan has for the time after the order's end."""
        if client_log.plan.payment.early is None:
            await self._payments.refund(client_log)

    async def _refund_early(self, client_log: ClientLog) -> None:
        if client_log.plan.payment.early is not None:
            await asyncio.sleep(client_log.plan.payment.early)
            await self._payments.refund(client_log)

    async def _change(self, client_log: ClientLog) -> None:
        plan = client_log.plan
        began = asyncio.get_running_loop().time()
        for after, action in plan.actions:
            await asyncio.sleep(max(0.0, began + after - asyncio.get_running_loop().time()))
            change = self._change_over_http if plan.channel is Channel.HTTP else self._patch_resource
            outcome, again = await change(plan, action)
            client_log.changes.append((action, outcome, again))

    async def _order_over_http(self, client_log: ClientLog) -> None:
        plan = client_log.plan
        body: dict[str, Any] = {
            "order_id": plan.order_id,
            "payment_id": plan.payment_id,
            "items": _items(plan),
            "address": ADDRESS_JSON,
            "payment": _payment(plan),
            "review": _review(plan),
            "customer": {"name": "Ada", "email": f"{plan.order_id}@example.com"},
        }
        if plan.deadline:
            body["deadline"] = f"{plan.deadline}s"
        if plan.order_id.endswith("3"):
            # Without an order id the fleet derives one from the idempotency key.
            del body["order_id"]
        status, response, _again = await self._request(
            plan, "POST", f"{self._api}/orders", body, {"Idempotency-Key": plan.order_id}
        )
        if status == 201:
            client_log.order_id = str(response["order_id"])
        else:
            client_log.problems.append(f"the order was answered {status}: {response}")

    async def _change_over_http(self, plan: OrderPlan, action: Action) -> tuple[ChangeResult, bool]:
        client_log = self.client_logs[plan.order_id]
        if client_log.order_id is None:
            return ChangeResult.NOT_FOUND, False
        path = {Action.APPROVE: "approve", Action.REDIRECT: "update-address", Action.CANCEL: "cancel"}.get(
            action, "cancel-payment"
        )
        body = {"address": ELSEWHERE_JSON} if action is Action.REDIRECT else None
        url = f"{self._api}/orders/{client_log.order_id}/signals/{path}"
        key = {"Idempotency-Key": f"{client_log.order_id}-{path}"}
        status, response, again = await self._request(plan, "POST", url, body, key)
        outcome = {
            200: ChangeResult.ACCEPTED,
            202: ChangeResult.QUEUED,
            404: ChangeResult.NOT_FOUND,
            409: ChangeResult.REJECTED,
        }.get(status)
        if outcome is None or outcome is ChangeResult.NOT_FOUND:
            client_log.problems.append(f"{action} was answered {status}: {response}")
        return outcome or ChangeResult.REJECTED, again

    async def _create_resource(self, client_log: ClientLog) -> None:
        plan = client_log.plan
        spec: dict[str, Any] = {
            "paymentId": plan.payment_id,
            "items": _items(plan),
            "address": ADDRESS_JSON,
            "payment": _payment(plan),
            "review": _review(plan),
        }
        if plan.deadline:
            spec["deadline"] = f"{plan.deadline}s"
        kind = {"apiVersion": f"{CRD_GROUP}/{CRD_VERSION}", "kind": "Order"}
        body = {**kind, "metadata": {"name": plan.order_id}, "spec": spec}
        status, response, again = await self._request(plan, "POST", self._orders, body)
        if status == 201 or (again and response.get("reason") == "AlreadyExists"):
            client_log.order_id = plan.order_id
        else:
            client_log.problems.append(f"the Order was answered {status}: {response}")

    async def _patch_resource(self, plan: OrderPlan, action: Action) -> tuple[ChangeResult, bool]:
        url = f"{self._orders}/{plan.order_id}"
        if action is Action.DELETE:
            status, response, again = await self._request(plan, "DELETE", url)
        else:
            spec = {Action.APPROVE: {"approved": True}, Action.REDIRECT: {"address": ELSEWHERE_JSON}}.get(
                action, {"cancel": True}
            )
            headers = {"Content-Type": "application/merge-patch+json"}
            status, response, again = await self._request(plan, "PATCH", url, {"spec": spec}, headers)
        delete_requested = Action.DELETE in {
            before for before, _outcome, _again in self.client_logs[plan.order_id].changes
        }
        if status in {200, 202}:
            return ChangeResult.QUEUED, again
        # The HTTP library repeats a DELETE by itself when the connection closes before the response.
        if status == 422 or (status == 404 and (delete_requested or action is Action.DELETE)):
            return ChangeResult.REJECTED, again
        self.client_logs[plan.order_id].problems.append(f"{action} was answered {status}: {response}")
        return ChangeResult.NOT_FOUND, again

    async def _request(
        self, plan: OrderPlan, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], bool]:
        """Repeat a request until its response is final.

        Returns:
            Status, body, and whether the request was repeated.
        """
        rng = random.Random(plan.order_id)
        delay, attempts = 0.2, 0
        while True:
            attempts += 1
            self.attempts[f"{plan.channel}{', again' if attempts > 1 else ''}"] += 1
            try:
                async with self._session.request(
                    method, url, json=body, headers=headers, timeout=_REQUEST_TIMEOUT
                ) as response:
                    content = await response.json(content_type=None)
                    conflict = method == "PATCH" and response.status == 409
                    if response.status not in _RETRIED_STATUSES and not conflict:
                        return response.status, content if isinstance(content, dict) else {}, attempts > 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                pass
            await asyncio.sleep(delay * rng.uniform(0.5, 1.5))
            delay = min(delay * 2, 3.0)


def _items(plan: OrderPlan) -> list[dict[str, Any]]:
    return [{"sku": plan.sku, "qty": QUANTITY, "price": str(PRICE)}]


def _payment(plan: OrderPlan) -> dict[str, str]:
    capture = {"capture": "onShipment"} if plan.payment.on_shipment else {}
    return capture | ({"method": plan.payment.method} if plan.payment.method else {})


def _review(plan: OrderPlan) -> dict[str, str]:
    return {"mode": "manual" if plan.manual else "auto", "timeout": "20s"}


@asynccontextmanager
async def start_clients(stack: ProxiedStack) -> AsyncIterator[Clients]:
    """Yield clients that reach the stack through proxies of their own."""
    pki = stack.parts.kubeconfig.parent / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        command_line = CommandLine(stack.parts.client_environment, stack.folder)
        yield Clients(stack.parts.api_url, stack.parts.apiserver_url, session, command_line)
