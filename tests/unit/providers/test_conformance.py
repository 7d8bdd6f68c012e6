"""The conformance suite passes right adapters, and finds each wrong one by the case that is about its error."""

from __future__ import annotations

import pytest

from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.domain.payment import Charge, PaymentIntent
from orderfleet.providers.conformance import bench
from orderfleet.providers.conformance.suite import CASES, CaseResult, Verdict, run_suite
from orderfleet.providers.payments.simulated import SimulatedPayments
from unit.providers import wrong_books
from unit.providers.wrong_adapters import OPTIONS, WRONG, RightAdapter


async def results(adapter: RightAdapter) -> list[CaseResult]:
    return [each async for each in run_suite(adapter, OPTIONS, adapter.lose_answer)]


async def test_right_adapter_passes_every_case() -> None:
    found = await results(RightAdapter())
    assert [(each.case, each.verdict, each.expected, each.seen) for each in found] == [
        (case.name, Verdict.PASSED, "", "") for case in CASES
    ]


def test_every_case_has_a_wrong_adapter() -> None:
    names = [case.name for case in CASES]
    assert sorted(WRONG) == sorted(names)
    assert len({case.guarantee for case in CASES}) == len(names)


@pytest.mark.parametrize("case", [case.name for case in CASES])
async def test_wrong_adapter_fails_exactly_its_case(case: str) -> None:
    found = await results(WRONG[case]())
    failed = [each for each in found if each.verdict is not Verdict.PASSED]
    assert [each.case for each in failed] == [case], failed
    assert failed[0].expected
    assert failed[0].seen
    assert failed[0].expected != failed[0].seen


async def test_case_that_cannot_be_tried_is_skipped_with_the_reason() -> None:
    found = [each async for each in run_suite(SimulatedPayments(), bench.Options(currencies=("EUR",)))]
    skipped = {each.case: each.seen for each in found if each.verdict is not Verdict.PASSED}
    assert skipped == {
        "prepared-charge": "the adapter does not prepare payments",
        "currency-with-0-decimals": "no currency with 0 decimals is among the options",
        "currency-with-3-decimals": "no currency with 3 decimals is among the options",
        "limits": "the provider has no limits for these currencies",
        "capture-after-lapse": "no method whose authorizations lapse is given",
        "void-of-pending": "no method that waits for the customer is given",
        "declined": "no method that is declined is given",
        "declined-retried": "no method that is declined is given",
        "pending": "no method that waits for the customer is given",
    }


async def test_unavailable_provider_is_called_again() -> None:
    class Busy(SimulatedPayments):
        refusals = 3

        async def charge(self, payment: PaymentIntent) -> Charge:
            self.refusals -= 1
            if self.refusals >= 0:
                raise ProviderUnavailable("this key is in progress")
            return await super().charge(payment)

    (case,) = [case for case in CASES if case.name == "look-up-charged"]
    (found,) = [each async for each in run_suite(Busy(), OPTIONS, cases=[case])]
    assert found.verdict is Verdict.PASSED


async def test_provider_that_stays_unavailable_fails_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(SimulatedPayments):
        async def charge(self, payment: PaymentIntent) -> Charge:
            raise ProviderUnavailable(f"no answer for {payment.payment_id}")

    monkeypatch.setattr(bench, "MAX_TRIES", 2)
    (case,) = [case for case in CASES if case.name == "look-up-charged"]
    (found,) = [each async for each in run_suite(Down(), OPTIONS, cases=[case])]
    assert (found.verdict, found.expected) == (Verdict.FAILED, "a provider that answers")
    assert found.seen.startswith("ProviderUnavailable: no answer for conformance-")


async def test_error_of_another_kind_fails_the_case_with_its_class() -> None:
    class Broken(SimulatedPayments):
        async def charge(self, payment: PaymentIntent) -> Charge:
            raise KeyError(payment.currency)

    (case,) = [case for case in CASES if case.name == "look-up-charged"]
    (found,) = [each async for each in run_suite(Broken(), OPTIONS, cases=[case])]
    assert found.verdict is Verdict.FAILED
    assert "KeyError" in found.seen


async def test_lost_answer_that_is_no_unavailability_fails_the_case() -> None:
    class Misreads(RightAdapter):
        async def charge(self, payment: PaymentIntent) -> Charge:
            made = await super().charge(payment)
            if self.losing:
                raise wrong_books.PaymentRefused("connection reset")
            return made

    adapter = Misreads()
    (case,) = [case for case in CASES if case.name == "charge-answer-lost"]
    (found,) = [each async for each in run_suite(adapter, OPTIONS, adapter.lose_answer, cases=[case])]
    assert (found.verdict, found.seen) == (Verdict.FAILED, "PaymentRefused: connection reset")


@pytest.mark.parametrize("currencies", [(), ("USD", "XAU"), ("usd",)])
def test_options_name_currencies_that_exist(currencies: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name currencies of ISO 4217"):
        bench.Options(currencies=currencies)
