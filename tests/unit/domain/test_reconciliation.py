"""Equal books have no differences; each injected difference is found, and only it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain.differences import Difference, DifferenceKind
from orderfleet.domain.ledger import EntryKind, PaymentDetail
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import ProviderPayment, ProviderStatus
from orderfleet.domain.reconciliation import compare_books
from orderfleet.domain.status import PaymentStatus
from support.both_books import CHARGE, START, BothBooks

LATER = START + timedelta(days=1)
Kind = DifferenceKind


def compared(payment: PaymentDetail | None, *records: ProviderPayment, complete: bool = True) -> list[Difference]:
    return compare_books([payment] if payment else [], records, before=LATER, complete=complete)


@st.composite
def equal_books(draw: st.DrawFn) -> BothBooks:
    """A payment that is captured and returned in parts, in the same way in both books."""
    books = BothBooks.charged(draw(st.integers(100, 10_000_000)), draw(st.sampled_from(CaptureMode)))
    for step in draw(st.lists(st.sampled_from(("refund", "dashboard", "failed", "charge_back", "won")), max_size=6)):
        part = books.left // 3
        if not part:
            break
        match step:
            case "refund":
                books.refund(part)
            case "dashboard":
                books.move(EntryKind.REFUNDED, part)
            case "failed":
                key = books.refund(part)
                books.move(EntryKind.REFUND_REVERSED, part, key)
            case "charge_back":
                books.move(EntryKind.CHARGED_BACK, part)
            case "won":
                books.move(EntryKind.CHARGED_BACK, part, "", "dp_1")
                books.move(EntryKind.CHARGE_BACK_REVERSED, part, "", "dp_1")
                break
    return books


@given(equal_books(), st.booleans())
def test_equal_books_have_no_difference(books: BothBooks, complete: bool) -> None:
    assert compared(books.payment(), books.record(), complete=complete) == []


@given(equal_books())
def test_entries_without_reference_and_movements_without_key_are_paired_by_amount(books: BothBooks) -> None:
    entries = tuple(each.model_copy(update={"reference": None}) for each in books.entries)
    movements = tuple(each.model_copy(update={"key": ""}) for each in books.movements)
    assert compared(books.payment(entries=entries), books.record(movements=movements)) == []


Injection = Callable[[BothBooks], tuple[PaymentDetail | None, list[ProviderPayment]]]


def _moved(kind: EntryKind, *, ledger: bool = False, provider: bool = False, key: str = "") -> Injection:
    def inject(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
        books.move(kind, 7, key, ledger=ledger, provider=provider)
        return books.payment(), [books.record()]

    return inject


def _refund_in_ledger_alone(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    books.refund(7, provider=False)
    return books.payment(), [books.record()]


def _refund_failed(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    key = books.refund(7)
    books.move(EntryKind.REFUND_REVERSED, 7, key, ledger=False)
    return books.payment(), [books.record()]


def _refund_failed_in_ledger_alone(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    key = books.refund(7)
    books.move(EntryKind.REFUND_REVERSED, 7, key, provider=False)
    return books.payment(), [books.record()]


def _charge_back_won_in_ledger_alone(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    books.move(EntryKind.CHARGED_BACK, 7, "", "dp_9")
    books.move(EntryKind.CHARGE_BACK_REVERSED, 7, "", "dp_9", provider=False)
    return books.payment(), [books.record()]


def _charge_back_won(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    books.move(EntryKind.CHARGED_BACK, 7, "", "dp_9")
    books.move(EntryKind.CHARGE_BACK_REVERSED, 7, "", "dp_9", ledger=False)
    return books.payment(), [books.record()]


def _without_capture_at_provider(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    return books.payment(), []


def _without_capture_in_ledger(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    fresh = BothBooks(books.amount, books.capture)
    if books.capture is CaptureMode.ON_SHIPMENT:
        fresh.authorize()
    fresh.take(ledger=False)
    return fresh.payment(), [fresh.record()]


def _other_amount(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    first = books.movements[0]
    books.movements[0] = first.model_copy(update={"amount": first.amount + 1})
    return books.payment(), [books.record()]


def _second_charge(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    second = BothBooks.charged(books.amount, books.capture)
    return books.payment(), [second.record(reference="ch_2"), books.record()]


def _second_capture(books: BothBooks) -> tuple[PaymentDetail | None, list[ProviderPayment]]:
    books.move(EntryKind.CAPTURED, books.amount, ledger=False)
    return books.payment(), [books.record()]


INJECTIONS: list[tuple[Kind, bool, Injection]] = [
    (Kind.CAPTURE_NOT_IN_LEDGER, True, _without_capture_in_ledger),
    (Kind.CAPTURE_NOT_AT_PROVIDER, False, _without_capture_at_provider),
    (Kind.AMOUNT, False, _other_amount),
    (Kind.CURRENCY, False, lambda books: (books.payment(), [books.record(currency="EUR")])),
    (Kind.ORDER_ID, False, lambda books: (books.payment(), [books.record(order_id="ord-2")])),
    (Kind.REFUND_NOT_IN_LEDGER, True, _moved(EntryKind.REFUNDED, provider=True)),
    (Kind.REFUND_NOT_IN_LEDGER, True, _moved(EntryKind.REFUNDED, provider=True, key="pay-1/refund/lost/1")),
    (Kind.REFUND_NOT_AT_PROVIDER, False, _refund_in_ledger_alone),
    (Kind.REFUND_FAILED, True, _refund_failed),
    (Kind.REFUND_FAILURE_NOT_AT_PROVIDER, False, _refund_failed_in_ledger_alone),
    (Kind.CHARGE_BACK_NOT_IN_LEDGER, True, _moved(EntryKind.CHARGED_BACK, provider=True)),
    (Kind.CHARGE_BACK_NOT_AT_PROVIDER, False, _moved(EntryKind.CHARGED_BACK, ledger=True)),
    (Kind.CHARGE_BACK_REVERSAL_NOT_AT_PROVIDER, False, _charge_back_won_in_ledger_alone),
    (Kind.CHARGE_BACK_REVERSAL_NOT_IN_LEDGER, True, _charge_back_won),
    (Kind.PAYMENT_NOT_IN_LEDGER, False, lambda books: (None, [books.record()])),
    (Kind.CHARGED_TWICE, False, _second_charge),
    (Kind.CHARGED_TWICE, False, _second_capture),
]


@pytest.mark.parametrize(
    ("kind", "safe", "inject"), INJECTIONS, ids=lambda value: str(getattr(value, "__name__", value))
)
@given(books=equal_books().filter(lambda books: books.left > 100))
def test_injected_difference_is_the_only_one_found(kind: Kind, safe: bool, inject: Injection, books: BothBooks) -> None:
    payment, records = inject(books)
    (found,) = compared(payment, *records)
    assert (found.kind, found.safe, found.payment_id, found.order_id) == (kind, safe, "pay-1", found.order_id)
    assert found.expected.endswith(".")
    assert found.remedy.endswith(".")
    assert found.since <= books.now


@given(amount=st.integers(1, 10_000_000), status=st.sampled_from([ProviderStatus.AUTHORIZED, ProviderStatus.PENDING]))
def test_open_authorization_of_a_voided_payment_is_voided_again(amount: int, status: ProviderStatus) -> None:
    books = BothBooks(amount, CaptureMode.ON_SHIPMENT, provider_status=status)
    books.authorize()
    books.void()
    (found,) = compared(books.payment(), books.record())
    assert (found.kind, found.voids, found.facts) == (Kind.AUTHORIZATION_NOT_RELEASED, True, ())


def test_open_authorization_of_a_failed_payment_is_voided_again() -> None:
    books = BothBooks(100, CaptureMode.ON_SHIPMENT, ledger_status=PaymentStatus.FAILED)
    books.authorize(ledger=False)
    (found,) = compared(books.payment(), books.record())
    assert (found.kind, found.voids) == (Kind.AUTHORIZATION_NOT_RELEASED, True)


def test_rest_of_a_captured_authorization_is_not_voided() -> None:
    books = BothBooks(100, CaptureMode.ON_SHIPMENT)
    books.authorize()
    books.take(60)
    books.release(40)
    (found,) = compared(books.payment(), books.record())
    assert (found.kind, found.safe, found.provider_amount) == (Kind.AUTHORIZATION_NOT_RELEASED, False, 40)


@given(amount=st.integers(2, 10_000_000), captured=st.integers(0, 1))
def test_lapsed_authorization_is_recorded_as_released(amount: int, captured: int) -> None:
    status = ProviderStatus.CAPTURED if captured else ProviderStatus.VOIDED
    books = BothBooks(amount, CaptureMode.ON_SHIPMENT, provider_status=status)
    books.authorize()
    if captured:
        books.take(captured)
    (found,) = compared(books.payment(), books.record())
    (fact,) = found.facts
    assert (found.kind, fact.kind, fact.amount) == (Kind.AUTHORIZATION_ENDED, EntryKind.RELEASED, amount - captured)


def test_authorization_that_the_ledger_did_not_record_is_recorded() -> None:
    books = BothBooks(100, CaptureMode.ON_SHIPMENT)
    books.authorize(ledger=False)
    (found,) = compared(books.payment(), books.record())
    (fact,) = found.facts
    assert (found.kind, fact.kind, fact.key) == (Kind.AUTHORIZATION_NOT_IN_LEDGER, EntryKind.AUTHORIZED, "pay-1")


@pytest.mark.parametrize(
    ("status", "undone"), [(PaymentStatus.FAILED, False), (PaymentStatus.VOIDED, True), (PaymentStatus.INIT, False)]
)
def test_capture_of_a_payment_that_failed_is_recorded_and_of_an_undone_one_returned(
    status: PaymentStatus, undone: bool
) -> None:
    books = BothBooks(100, ledger_status=status)
    if undone:
        books.void()
    books.take(ledger=False)
    (found,) = compared(books.payment(), books.record())
    (fact,) = found.facts
    assert (found.kind, fact.key, fact.amount) == (Kind.CAPTURE_NOT_IN_LEDGER, "pay-1", 100)
    assert found.voids == undone


def test_second_charge_that_was_returned_is_no_difference() -> None:
    books = BothBooks.charged(100)
    books.move(EntryKind.CAPTURED, 100, ledger=False)
    books.move(EntryKind.REFUNDED, 100, ledger=False)
    assert compared(books.payment(), books.record()) == []


def test_second_charge_has_the_reference_of_the_charge_that_the_ledger_does_not_have() -> None:
    payment, records = _second_charge(BothBooks.charged(100))
    (found,) = compared(payment, *records)
    assert (found.reference, found.key) == ("ch_2", "ch_2")
    assert CHARGE not in {found.reference, found.key}


def test_payment_without_money_that_the_ledger_does_not_have_is_no_difference() -> None:
    books = BothBooks(100, provider_status=ProviderStatus.FAILED)
    assert compared(None, books.record()) == []


def test_difference_that_is_younger_than_the_grace_time_is_left_out() -> None:
    books = BothBooks.charged(100)
    books.move(EntryKind.REFUNDED, 10, ledger=False)
    at = books.movements[-1].at
    assert compare_books([books.payment()], [books.record()], before=at - timedelta(seconds=1)) == []
    assert len(compare_books([books.payment()], [books.record()], before=at)) == 1


def test_payment_that_was_not_listed_is_no_difference_unless_the_books_are_complete() -> None:
    books = BothBooks.charged(100)
    assert compared(books.payment(), complete=False) == []
    (found,) = compared(books.payment(), complete=True)
    assert found.kind is Kind.CAPTURE_NOT_AT_PROVIDER


def test_repaired_books_are_equal() -> None:
    books = BothBooks.charged(100)
    books.move(EntryKind.REFUNDED, 10, ledger=False)
    books.move(EntryKind.CHARGED_BACK, 5, ledger=False)
    books.entries += [fact for found in compared(books.payment(), books.record()) for fact in found.facts]
    assert compared(books.payment(), books.record()) == []
