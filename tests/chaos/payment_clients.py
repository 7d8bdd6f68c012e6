"""Clients that ask for refunds and capture the payments of held orders again, in every way that the product has.

A refund is asked for with an id of its own, and again with the same id if the answer is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from chaos.client_logs import ChangeResult, ClientLog, RefundLog
from chaos.command_line import CommandLine
from chaos.order_plans import LINE, OTHER_METHOD, Channel, OrderPlan, Place, RefundPlan
from orderfleet.cli.errors import Exit

Request = Callable[..., Awaitable[tuple[int, dict[str, Any], bool]]]
"""Sends a plan's request by method, URL, body and headers; returns status, body, and whether it was repeated."""

Answer = tuple[ChangeResult, dict[str, Any], bool]
"""The outcome of a request or a command, what it answered, and whether it was repeated."""

_HOLD_TIMEOUT = 60.0
"""Seconds for which a client waits for its order to be held."""
_POLL_SECONDS = 0.5
_QUEUED_ATTEMPTS = 5
"""Number of times that a client asks for a refund which no worker has decided about."""
_ACCEPTED = {200: ChangeResult.ACCEPTED, 201: ChangeResult.ACCEPTED, 202: ChangeResult.QUEUED}
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_CONFLICTS = ("not-refundable", "change-rejected", "ended")
"""Problem types of a rejection."""


class PaymentClients:
    """Sends what concerns payments.

    Args:
        request: sends a request until its response is final.
        command_line: runs commands.
        api: the product's API.
        orders: URL of the Orders in Kubernetes.
        attempts: counts the commands.
    """

    def __init__(
        self, request: Request, command_line: CommandLine, api: str, orders: str, attempts: Counter[str]
    ) -> None:
        self._attempts = attempts
        self._request = request
        self._command_line = command_line
        self._api = api
        self._orders = orders

    async def refund(self, client_log: ClientLog) -> None:
        """Ask for the refunds of a plan, group by group."""
        if client_log.order_id is None:
            return
        for group in client_log.plan.payment.refunds:
            asked = (self._refund(client_log, refund, place) for refund in group for place in refund.places)
            client_log.refunds += await asyncio.gather(*asked)

    async def _refund(self, client_log: ClientLog, refund: RefundPlan, place: Place) -> RefundLog:
        """Ask for a refund; while it is queued, ask again to learn the decision."""
        asked_at, repeated = datetime.now(UTC), False
        for attempt in range(1, _QUEUED_ATTEMPTS + 1):
            ask = self._refund_over_http if place is Place.API else self._refund_by_command
            outcome, response, again = await ask(client_log, refund)
            repeated = repeated or again or attempt > 1
            if outcome is not ChangeResult.QUEUED:
                break
            await asyncio.sleep(1)
        amount = Decimal(response["refund"]["amount"]) if outcome is ChangeResult.ACCEPTED else None
        return RefundLog(refund, place, asked_at, outcome, repeated, amount)

    async def _refund_over_http(self, client_log: ClientLog, refund: RefundPlan) -> Answer:
        lines = {"lines": [{"line": LINE, "qty": refund.pieces}]}
        what = lines if refund.amount is None else {"amount": str(refund.amount)}
        body = {"refund_id": refund.refund_id, "reason": "storm", **what}
        return await self._answer(client_log, f"{self._api}/orders/{client_log.order_id}/refunds", body)

    async def _refund_by_command(self, client_log: ClientLog, refund: RefundPlan) -> Answer:
        what = ("--line", f"{LINE}={refund.pieces}") if refund.amount is None else ("--amount", str(refund.amount))
        command = ("payments", "refund", str(client_log.order_id), *what, "--id", refund.refund_id, "--reason", "storm")
        return await self._command(client_log, *command)

    async def retry_when_held(self, client_log: ClientLog) -> None:
        """Wait until the order is held, for a limited time, and capture its payment again with another method."""
        plan = client_log.plan
        if plan.payment.retried_by is None or client_log.order_id is None:
            return
        now = asyncio.get_running_loop().time
        end = now() + _HOLD_TIMEOUT
        while now() < end:
            status = await self._status(client_log)
            if status is None:
                return
            if status.get("hold") and await self._retry(client_log) in {ChangeResult.ACCEPTED, ChangeResult.QUEUED}:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _status(self, client_log: ClientLog) -> dict[str, Any] | None:
        """The status of the order as its client reads it; empty before it is recorded, None once it has ended."""
        plan = client_log.plan
        in_spec = plan.payment.retried_by is Place.SPEC
        url = f"{self._orders}/{plan.order_id}" if in_spec else f"{self._api}/orders/{client_log.order_id}"
        code, response, _again = await self._request(plan, "GET", url)
        if code == 404:
            return None if in_spec else {}
        if code != 200:
            client_log.problems.append(f"a read was answered {code}: {response}")
            return None
        status: dict[str, Any] = response.get("status", {}) if in_spec else response
        has_ended = status.get("ended") if in_spec else status["completed_at"]
        return None if has_ended else status

    async def _retry(self, client_log: ClientLog) -> ChangeResult:
        plan, order_id = client_log.plan, str(client_log.order_id)
        match plan.payment.retried_by:
            case Place.SPEC:
                body: dict[str, Any] = {"spec": {"payment": {"method": OTHER_METHOD}}}
                url = f"{self._orders}/{plan.order_id}"
                status, response, _again = await self._request(plan, "PATCH", url, body, _MERGE_PATCH)
                if status not in {200, 404, 422}:
                    client_log.problems.append(f"another method was answered {status}: {response}")
                return ChangeResult.QUEUED if status == 200 else ChangeResult.REJECTED
            case Place.COMMAND_LINE:
                command = ("payments", "retry", order_id, "--method", OTHER_METHOD)
                return (await self._command(client_log, *command))[0]
            case _:
                url = f"{self._api}/orders/{order_id}/payment/retry"
                return (await self._answer(client_log, url, {"method": OTHER_METHOD}))[0]

    async def _answer(self, client_log: ClientLog, url: str, body: dict[str, Any]) -> Answer:
        status, response, again = await self._request(client_log.plan, "POST", url, body)
        is_rejected = status == 409 and str(response.get("type")).endswith(_CONFLICTS)
        if status == 404:
            outcome: ChangeResult | None = self._not_found(client_log.plan)
        else:
            outcome = ChangeResult.REJECTED if is_rejected else _ACCEPTED.get(status)
        if outcome is None:
            client_log.problems.append(f"{url} was answered {status}: {response}")
        return outcome or ChangeResult.NOT_FOUND, response, again

    async def _command(self, client_log: ClientLog, *arguments: str) -> Answer:
        status, printed, attempts = await self._command_line.run(*arguments)
        self._attempts.update({Place.COMMAND_LINE: 1, f"{Place.COMMAND_LINE}, again": attempts - 1})
        outcome: ChangeResult | None = None
        if status == Exit.DONE:
            outcome = ChangeResult(printed["result"])
        elif status == Exit.REJECTED:
            outcome = ChangeResult.REJECTED
        elif status == Exit.NOT_FOUND:
            outcome = self._not_found(client_log.plan)
        if outcome is None:
            client_log.problems.append(f"{' '.join(arguments)} ended with {status}: {printed}")
        return outcome or ChangeResult.NOT_FOUND, printed, attempts > 1

    def _not_found(self, plan: OrderPlan) -> ChangeResult | None:
        """An Order is accepted before its order exists; for an order that was accepted over HTTP this is a problem."""
        return ChangeResult.NOT_FOUND if plan.channel is Channel.KUBERNETES else None
