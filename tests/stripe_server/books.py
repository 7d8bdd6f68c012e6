"""Stripe's state in the tests: PaymentIntents, refunds, disputes and events, with the rules that the adapter meets.

The means of payment decides what a confirmation does, as Stripe's test cards do.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]

CARD = "pm_card_visa"
DECLINED = "pm_card_chargeDeclinedInsufficientFunds"
AUTHENTICATION = "pm_card_authenticationRequired"
LAPSING = "pm_card_lapsing"
"""Its authorizations lapse after half a second."""
LAPSED = "pm_card_lapsed"
"""Its first authorization lapses at once, and the next ones are declined."""
BANK_DEBIT = "pm_bankDebit"
VOUCHER = "pm_konbini"
"""To be paid in a shop within two seconds."""
SAVED = "pm_saved"
"""Belongs to the customer `CUSTOMER`."""
CUSTOMER = "cus_1"

_MINIMUMS = {"usd": 50, "eur": 50, "jpy": 50, "gbp": 30, "huf": 17500}
_STEPS = {"isk": 100, "ugx": 100, "kwd": 10, "bhd": 10, "jod": 10, "omr": 10, "tnd": 10}
_CANCELABLE = {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"}


class Refused(Exception):
    """An error of the API."""

    def __init__(self, status: int, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": "invalid_request_error", "message": message, **fields}


def _unexpected_state(intent: Object, action: str) -> Refused:
    message = f"This PaymentIntent could not be {action} because it has a status of {intent['status']}."
    return Refused(400, message, code="payment_intent_unexpected_state", payment_intent=intent)


class Books:
    """One account."""

    def __init__(self) -> None:
        self.intents: dict[str, Object] = {}
        self.charges: dict[str, Object] = {}
        self.refunds: dict[str, Object] = {}
        self.disputes: dict[str, Object] = {}
        self.transactions: list[Object] = []
        self.events: list[Object] = []
        self.multicapture = True
        self.processing_refunds = False
        self.clock: Callable[[], float] = time.time
        self._numbers = itertools.count(1)

    # Requests.

    def create(self, params: Object) -> Object:
        amount, currency = int(params["amount"]), params["currency"]
        if amount < _MINIMUMS.get(currency, 1):
            raise Refused(400, f"Amount must be at least {_MINIMUMS[currency]} {currency}", code="amount_too_small")
        if amount % _STEPS.get(currency, 1):
            raise Refused(400, f"Invalid amount for {currency}", param="amount", code="parameter_invalid_integer")
        intent = self._new("payment_intent", "pi") | {
            "amount": amount,
            "currency": currency,
            "status": "requires_payment_method",
            "amount_received": 0,
            "amount_capturable": 0,
            "capture_method": params.get("capture_method", "automatic"),
            "metadata": dict(params.get("metadata", {})),
            "payment_method": None,
            "customer": None,
            "latest_charge": None,
            "next_action": None,
            "last_payment_error": None,
            "cancellation_reason": None,
        }
        intent["multicapture"] = "card" in params.get("payment_method_options", {})
        self.intents[intent["id"]] = intent
        return intent

    def intent(self, intent_id: str) -> Object:
        if intent_id not in self.intents:
            raise Refused(404, f"No such payment_intent: '{intent_id}'", code="resource_missing")
        return self.intents[intent_id]

    def update(self, intent_id: str, params: Object) -> Object:
        intent = self.intent(intent_id)
        intent["metadata"].update(params.get("metadata", {}))
        intent["customer"] = params.get("customer", intent["customer"])
        return intent

    def confirm(self, intent_id: str, params: Object) -> Object:
        intent = self.intent(intent_id)
        if intent["status"] not in {"requires_payment_method", "requires_confirmation"}:
            raise _unexpected_state(intent, "confirmed")
        method = params.get("payment_method") or intent["payment_method"]
        if method is None:
            raise Refused(400, "You cannot confirm this PaymentIntent because it's missing a payment method.")
        if method == SAVED and intent["customer"] != CUSTOMER:
            raise Refused(400, "The PaymentMethod belongs to a Customer.", code="parameter_invalid", param="customer")
        declined = method == DECLINED or (method == LAPSED and self._is_used(method))
        intent["payment_method"], intent["last_payment_error"] = method, None
        if declined:
            self._fail(intent, "card_declined", "insufficient_funds")
            codes = {"code": "card_declined", "decline_code": "insufficient_funds"}
            raise Refused(402, "Your card has insufficient funds.", type="card_error", **codes, payment_intent=intent)
        if method == AUTHENTICATION:
            intent["status"] = "requires_action"
            if "return_url" in params:
                page = f"https://hooks.example.com/3ds/{intent_id}"
                intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"url": page}}
            else:
                intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
            self._event("payment_intent.requires_action", intent)
        elif method == VOUCHER:
            details = {
                "hosted_voucher_url": f"https://pay.example.com/{intent_id}",
                "expires_at": int(self.clock()) + 2,
            }
            intent |= {
                "status": "requires_action",
                "next_action": {"type": "konbini_display_details", "konbini_display_details": details},
            }
            self._event("payment_intent.requires_action", intent)
        elif method == BANK_DEBIT:
            intent["status"] = "processing"
            self._event("payment_intent.processing", intent)
        else:
            self._succeed(intent)
        return intent

    def capture(self, intent_id: str, params: Object) -> Object:
        intent = self.intent(intent_id)
        if intent["status"] != "requires_capture":
            raise _unexpected_state(intent, "captured")
        charge = self.charges[intent["latest_charge"]]
        if charge["payment_method_details"]["card"]["capture_before"] < self.clock():
            raise Refused(400, "The charge has expired.", code="charge_expired_for_capture")
        amount = int(params.get("amount_to_capture", intent["amount_capturable"]))
        if amount > intent["amount_capturable"]:
            raise Refused(400, "The amount is above the amount capturable.", code="amount_too_large")
        final = params.get("final_capture", "true") == "true"
        if not final and not intent["multicapture"]:
            raise Refused(400, "final_capture needs multicapture.", param="final_capture")
        intent["metadata"].update(params.get("metadata", {}))
        intent["amount_received"] += amount
        intent["amount_capturable"] = 0 if final else intent["amount_capturable"] - amount
        self._move(charge, amount)
        if not intent["amount_capturable"]:
            intent["status"] = "succeeded"
            self._event("payment_intent.succeeded", intent)
        return intent

    def cancel(self, intent_id: str, params: Object) -> Object:
        intent = self.intent(intent_id)
        if intent["status"] not in _CANCELABLE:
            raise _unexpected_state(intent, "canceled")
        intent |= {
            "status": "canceled",
            "amount_capturable": 0,
            "cancellation_reason": params.get("cancellation_reason"),
        }
        self._event("payment_intent.canceled", intent)
        return intent

    def refund(self, params: Object) -> Object:
        intent = self.intent(params["payment_intent"])
        left = intent["amount_received"] - sum(each["amount"] for each in self.refunds_of(intent["id"], counted=True))
        if any(each["payment_intent"] == intent["id"] and each["open"] for each in self.disputes.values()):
            raise Refused(400, "The charge is disputed.", code="charge_disputed")
        if not left:
            raise Refused(400, "The charge has already been refunded.", code="charge_already_refunded")
        if int(params["amount"]) > left:
            raise Refused(400, "Refund amount is greater than unrefunded amount on charge.", param="amount")
        refund = self._new("refund", "re") | {
            "amount": int(params["amount"]),
            "currency": intent["currency"],
            "status": "pending" if self.processing_refunds else "succeeded",
            "payment_intent": intent["id"],
            "metadata": dict(params.get("metadata", {})),
            "failure_reason": None,
        }
        self.refunds[refund["id"]] = refund
        self._move(refund, -refund["amount"])
        self._event("refund.created", refund)
        return refund

    def refunds_of(self, intent_id: str, *, counted: bool = False) -> list[Object]:
        of_intent = [each for each in self.refunds.values() if each["payment_intent"] == intent_id]
        return [each for each in of_intent if not counted or each["status"] != "failed"]

    def seen(self, intent: Object) -> Object:
        """The PaymentIntent with its charge in place of the id."""
        charge = self.charges.get(intent["latest_charge"] or "")
        return {**intent, "latest_charge": charge or intent["latest_charge"]}

    # What happens at Stripe without a request.

    def finish(self, intent_id: str, *, declined: bool = False) -> None:
        """The customer or the bank has answered, which is too late for a canceled one."""
        intent = self.intents[intent_id]
        if intent["status"] not in {"requires_action", "processing"}:
            return
        intent["next_action"] = None
        if declined:
            self._fail(intent, "payment_intent_authentication_failure", None)
        else:
            self._succeed(intent)

    def lapse(self, intent_id: str) -> None:
        """Stripe cancels an authorization that was not captured in time."""
        self.cancel(intent_id, {"cancellation_reason": "automatic"})

    def fail_refund(self, refund_id: str) -> None:
        refund = self.refunds[refund_id]
        refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self._move(refund, refund["amount"])
        self._event("refund.updated", refund)
        self._event("refund.failed", refund)

    def dispute(self, intent_id: str) -> Object:
        intent = self.intents[intent_id]
        self.charges[intent["latest_charge"]]["disputed"] = True
        dispute = self._new("dispute", "dp") | {
            "amount": intent["amount_received"],
            "currency": intent["currency"],
            "status": "needs_response",
            "payment_intent": intent_id,
            "balance_transactions": [],
            "open": True,
        }
        self.disputes[dispute["id"]] = dispute
        self._event("charge.dispute.created", dispute)
        self._withdraw(dispute, -dispute["amount"], "charge.dispute.funds_withdrawn")
        return dispute

    def win_dispute(self, dispute_id: str) -> None:
        dispute = self.disputes[dispute_id]
        dispute |= {"open": False, "status": "won"}
        self._withdraw(dispute, dispute["amount"], "charge.dispute.funds_reinstated")

    def _withdraw(self, dispute: Object, amount: int, event: str) -> None:
        self._move(dispute, amount)
        dispute["balance_transactions"].append({"amount": amount, "created": int(self.clock())})
        self._event(event, dispute)

    def _is_used(self, method: str) -> bool:
        return any(each["payment_method"] == method for each in self.intents.values())

    def _succeed(self, intent: Object) -> None:
        manual = intent["capture_method"] == "manual"
        status = "available" if self.multicapture and intent["multicapture"] else "unavailable"
        intent["multicapture"] = status == "available"
        until = self.clock() + {LAPSING: 0.5, LAPSED: 0}.get(intent["payment_method"], 7 * 86400)
        card = {"capture_before": until if manual else None, "multicapture": {"status": status}}
        charge = self._charge(intent, "succeeded") | {"payment_method_details": {"type": "card", "card": card}}
        self.charges[charge["id"]] = charge
        if manual:
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            self._event("payment_intent.amount_capturable_updated", intent)
        else:
            intent |= {"status": "succeeded", "amount_received": intent["amount"]}
            self._move(charge, intent["amount"])
            self._event("payment_intent.succeeded", intent)

    def _fail(self, intent: Object, code: str, decline_code: str | None) -> None:
        self._charge(intent, "failed")
        error = {"code": code, "decline_code": decline_code, "message": "The payment failed."}
        intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
        self._event("payment_intent.payment_failed", intent)

    def _charge(self, intent: Object, status: str) -> Object:
        charge = self._new("charge", "ch") | {
            "payment_intent": intent["id"],
            "status": status,
            "disputed": False,
            "payment_method_details": None,
        }
        self.charges[charge["id"]] = charge
        intent["latest_charge"] = charge["id"]
        return charge

    def _move(self, source: Object, amount: int) -> None:
        self.transactions.append(self._new("balance_transaction", "txn") | {"amount": amount, "source": source})

    def _event(self, kind: str, content: Object) -> None:
        # An event keeps the object as it was.
        event = self._new("event", "evt") | {"type": kind, "data": {"object": copy.deepcopy(content)}}
        self.events.append(event)

    def _new(self, kind: str, prefix: str) -> Object:
        return {"id": f"{prefix}_{next(self._numbers):08}", "object": kind, "created": int(self.clock())}
