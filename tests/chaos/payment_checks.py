"""Checks of payments and refunds: clients, the ledger of the order store, and the provider's ledger agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from chaos.check_context import CheckContext, Finding
from chaos.client_logs import ChangeResult, ClientLog, RefundLog
from chaos.evidence import Sums
from chaos.order_plans import QUANTITY
from orderfleet.domain import names
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.ledger import EntryKind, IntentStatus, IntentView, PaymentDetail
from orderfleet.domain.money import to_decimal
from orderfleet.domain.status import OrderStatus
from support.ledgers import SHIPPED


def refunds(context: CheckContext) -> Iterator[Finding]:
    """Each refund that a client asked for moved what its client was answered."""
    for order_id, client_log in context.accepted.items():
        status = context.statuses.get(order_id)
        for refund_id, requests in _by_refund(client_log).items():
            if status is not None:
                yield f"{order_id}, {refund_id}", _refund_error(context, status, requests)


def rejections(context: CheckContext) -> Iterator[Finding]:
    """Each refund that was rejected after the end of a shipped order is more than is left."""
    for order_id, client_log in context.accepted.items():
        status = context.statuses.get(order_id)
        if status is None or status.step not in SHIPPED:
            continue
        left = status.payment.captured - status.payment.refunded
        for refund_id, requests in _by_refund(client_log).items():
            if all(_after_end(each, status) and each.outcome is ChangeResult.REJECTED for each in requests):
                # What is refunded only grows after the end, so at least this was left before. Lines pay what is left.
                plan = requests[0].plan
                fits = plan.value <= left if plan.amount is not None else _are_free(context, status, plan.pieces)
                yield f"{order_id}, {refund_id}", f"{plan.value} rejected, and {left} are left" if fits else ""


def intents(context: CheckContext) -> Iterator[Finding]:
    """Each capture and each refund that the order store began has ended, as at the provider."""
    for payment in context.evidence.payments.values():
        made = _provider_keys(context, payment)
        asked = _asked_refunds(context.accepted.get(payment.order_id))
        for intent in payment.intents:
            subject, amount = f"{payment.payment_id}, {intent.key}", to_decimal(intent.amount, payment.currency)
            if intent.status is IntentStatus.OPEN:
                yield subject, f"the {intent.kind} is open"
            elif intent.refund_id is not None and intent.refund_id not in asked:
                yield subject, "no client asked for this refund"
            elif intent.status is IntentStatus.REFUSED:
                yield subject, "refused in the order store, and made by the provider" if intent.key in made else ""
            elif made.get(intent.key) != amount and not _is_returned_by_void(context, payment, intent):
                yield subject, f"{amount} in the order store, {made.get(intent.key)} at the provider"
            else:
                yield subject, ""
        for authorization in payment.authorizations:
            subject = f"{payment.payment_id}, authorization {authorization.number}"
            yield subject, "is open" if authorization.state == "open" else ""


def agreement(context: CheckContext) -> Iterator[Finding]:
    """Each payment's status and amounts are the same wherever they are."""
    for payment_id, kind in context.evidence.discrepancies:
        yield payment_id, f"its entries do not fit together: {kind}"
    for order_id, status in context.statuses.items():
        shown = Sums(status.payment.status, status.payment.authorized, status.payment.captured, status.payment.refunded)
        payment = context.evidence.payments.get(status.payment.id)
        book = context.book(status.payment.id)
        if payment is None:
            yield order_id, f"no payment in the ledger, and the order says {shown}" if status.payment.status else ""
            continue
        found = {
            "the payment": _sums(payment),
            "the entries": context.evidence.derived.get(payment.payment_id),
            "the provider": Sums(payment.status, book.authorized - book.released, book.captured, book.refunded),
        }
        yield (
            order_id,
            "; ".join(f"{name}: {sums}, the order: {shown}" for name, sums in found.items() if sums != shown),
        )


def refund_events(context: CheckContext) -> Iterator[Finding]:
    """Each refund has its events in the audit trail, and each event its refund."""
    for payment in context.evidence.payments.values():
        events = context.evidence.events.get(payment.order_id, ())
        refunds = {intent.refund_id: intent for intent in payment.intents if intent.refund_id is not None}
        for refund_id, intent in refunds.items():
            yield f"{payment.order_id}, {refund_id}", "; ".join(_event_errors(events, refund_id, intent))
        shown = {event.detail.get("refund") for event in events if event.kind is EventKind.REFUNDED}
        for refund_id in shown - refunds.keys() - {None}:
            yield f"{payment.order_id}, {refund_id}", "an event of a refund that the ledger does not have"


def _by_refund(client_log: ClientLog) -> dict[str, list[RefundLog]]:
    found: dict[str, list[RefundLog]] = {}
    for request in client_log.refunds:
        found.setdefault(request.plan.refund_id, []).append(request)
    return found


def _refund_error(context: CheckContext, status: OrderStatus, requests: list[RefundLog]) -> str:
    payment = context.evidence.payments.get(status.payment.id)
    stored = {} if payment is None else _stored_refunds(payment)
    plan = requests[0].plan
    pays = stored.get(plan.refund_id)
    accepted = [request for request in requests if request.outcome is ChangeResult.ACCEPTED]
    if accepted and pays is None:
        return "accepted, and no money moved"
    if wrong := [request.amount for request in accepted if request.amount != pays]:
        return f"its client was answered {wrong[0]}, and {pays} moved"
    if pays is not None and pays != plan.value and (plan.amount is not None or not 0 < pays < plan.value):
        return f"asked for {plan.value}, and {pays} moved"
    if pays is not None and all(_is_final_rejection(request, status) for request in requests):
        return f"rejected, and {pays} moved"
    return ""


def _is_final_rejection(request: RefundLog, status: OrderStatus) -> bool:
    """Whether a refund was rejected permanently.

    The id of a rejected refund can be used again. An attempt whose answer was lost may so be decided after a later one
    was rejected; after the order's end less and less is left, so it is rejected too.
    """
    return request.outcome is ChangeResult.REJECTED and (not request.again or _after_end(request, status))


def _after_end(request: RefundLog, status: OrderStatus) -> bool:
    return status.completed_at is not None and request.asked_at > status.completed_at


def _stored_refunds(payment: PaymentDetail) -> dict[str, Decimal]:
    """What each refund that was made moved, by its id."""
    found: Counter[str] = Counter()
    for intent in payment.intents:
        if intent.refund_id is not None and intent.status is IntentStatus.DONE:
            found[intent.refund_id] += intent.amount
    return {refund_id: to_decimal(amount, payment.currency) for refund_id, amount in found.items()}


def _are_free(context: CheckContext, status: OrderStatus, pieces: int) -> bool:
    """Whether so many pieces of the line, and any money, are left to refund."""
    payment = context.evidence.payments[status.payment.id]
    taken = sum(
        part.end - part.start
        for intent in payment.intents
        if intent.status is not IntentStatus.REFUSED
        for part in intent.lines
    )
    return pieces <= QUANTITY - taken and payment.refundable > 0


def _asked_refunds(client_log: ClientLog | None) -> set[str]:
    groups = () if client_log is None else client_log.plan.payment.refunds
    return {names.ORDER_REFUND, *(refund.refund_id for group in groups for refund in group)}


def _provider_keys(context: CheckContext, payment: PaymentDetail) -> dict[str, Decimal]:
    """The captures and refunds at the provider, by key."""
    return {
        entry.key: entry.amount
        for entry in context.book(payment.payment_id).entries
        if entry.kind in {"capture", "refund"}
    }


def _is_returned_by_void(context: CheckContext, payment: PaymentDetail, intent: IntentView) -> bool:
    """Whether the provider returned a refund with everything else, because its charge or authorization was voided."""
    is_void = any(
        entry.kind == "refund" and entry.number == intent.number and entry.key.endswith("/void")
        for entry in context.book(payment.payment_id).entries
    )
    is_refund = any(entry.kind is EntryKind.REFUNDED and entry.key == intent.key for entry in payment.entries)
    return is_void and is_refund


def _sums(payment: PaymentDetail) -> Sums:
    amounts = (to_decimal(each, payment.currency) for each in (payment.authorized, payment.captured, payment.refunded))
    return Sums(payment.status, *amounts)


def _event_errors(events: Sequence[RecordedEvent], refund_id: str, intent: IntentView) -> Iterator[str]:
    own = None if refund_id == names.ORDER_REFUND else refund_id
    counts = Counter(event.kind for event in events if event.detail.get("refund") == own)
    if own is not None and counts[EventKind.REFUND_PENDING] != 1:
        yield f"{counts[EventKind.REFUND_PENDING]} events of its acceptance"
    if intent.status is IntentStatus.DONE and counts[EventKind.REFUNDED] != 1:
        yield f"{counts[EventKind.REFUNDED]} events of its end"
