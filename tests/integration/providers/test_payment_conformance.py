"""The conformance suite against real processes: the `http` adapter, the command line, and the lossy proxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from orderfleet.domain.payment import Charge, PaymentIntent
from orderfleet.providers.conformance.bench import Options
from orderfleet.providers.conformance.lossy_proxy import LossyProxy
from orderfleet.providers.conformance.suite import CASES, Verdict, run_suite
from orderfleet.providers.conformance.target import open_target
from orderfleet.providers.payments.simulated import PaymentLedger, SimulatedPayments
from orderfleet.settings import Settings
from provider_server.process import ProviderServer, provider_server

LIMITS = "USD:minimum=0.50;KWD:step=0.010,minimum=0.100"
METHODS = ("--declined-method", "refuse", "--pending-method", "pending", "--lapsing-method", "lapse:500ms")


@pytest.fixture(scope="module")
def limited_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with provider_server(tmp_path_factory.mktemp("limited"), "--limits", LIMITS) as server:
        yield server


def conformance(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orderfleet", "conformance", "payments", *arguments],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_http_adapter_passes_every_case_and_answers_are_lost_on_the_wire(limited_server: ProviderServer) -> None:
    found = conformance(
        *("--adapter", "http", *METHODS, "-o", "json"),
        ORDERFLEET_PAYMENT_URL=limited_server.url,
        ORDERFLEET_PAYMENT_LIMITS=LIMITS,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    results = json.loads(found.stdout)
    not_passed = {each["case"]: each["verdict"] for each in results if each["verdict"] != "passed"}
    assert not_passed == {"prepared-charge": "skipped"}
    assert [each["case"] for each in results] == [case.name for case in CASES]
    lost = [call for call in limited_server.calls() if call["path"] == "/captures"]
    assert lost, "the cases reached the server"


def test_simulated_adapter_passes_and_the_table_says_how_answers_were_lost() -> None:
    found = conformance("--adapter", "simulated", ORDERFLEET_PAYMENT_LIMITS=LIMITS)
    assert found.returncode == 0, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["CASE", "RESULT", "GUARANTEE"]
    assert len(lines) == len(CASES) + 2
    passed = len(CASES) - 1
    how = "answers were lost behind the adapter: its results were discarded"
    assert lines[-1] == f"simulated: {passed} passed, 0 failed, 1 skipped; {how}"


def test_service_that_breaks_a_guarantee_fails_with_expected_and_seen(server: ProviderServer) -> None:
    # The server takes amounts that the setting forbids.
    found = conformance(
        *("--adapter", "http", "--case", "limits", "--case", "look-up-nothing"),
        ORDERFLEET_PAYMENT_URL=server.url,
        ORDERFLEET_PAYMENT_LIMITS=LIMITS,
    )
    assert found.returncode == 1, found.stderr
    assert "expected: PaymentRefused for a charge of 49 USD, below the minimum" in found.stdout
    assert "seen: Charge(reference='ch_" in found.stdout
    assert "http: 1 passed, 1 failed, 0 skipped; answers were lost between service and adapter" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--adapter", "strip"), "no payment provider is called 'strip'; known: http, simulated"),
        (("--adapter", "http"), "ORDERFLEET_PAYMENT_PROVIDER=http needs ORDERFLEET_PAYMENT_URL"),
        (("--adapter", "simulated", "--case", "charges"), "no case is called charges; known: charge-repeated, "),
        (("--adapter", "simulated", "--currency", "XAU"), "XAU: name currencies of ISO 4217"),
    ],
)
def test_invalid_arguments_exit_with_2_and_say_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    found = conformance(*arguments)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr


async def test_lost_answer_reaches_the_adapter_as_unavailable_after_the_server_acted(server: ProviderServer) -> None:
    settings = Settings(payment_provider="http", payment_url=server.url)
    (case,) = [case for case in CASES if case.name == "refund-answer-lost"]
    async with open_target(settings) as target:
        assert target.loses_on_the_wire
        payment = PaymentIntent(payment_id="pay-wire", order_id="ord-wire", currency="USD", amount=1000)
        with pytest.raises(Exception, match="could not be reached") as raised:
            async with target.lose_answer():
                await target.provider.charge(payment)
        assert type(raised.value).__name__ == "ProviderUnavailable"
        assert [entry.kind for entry in PaymentLedger(server.ledger).entries("pay-wire")] == ["charge"]
        (found,) = [each async for each in run_suite(target.provider, Options(), target.lose_answer, cases=[case])]
    assert found.verdict is Verdict.PASSED


async def test_adapter_that_bypasses_the_proxy_is_found() -> None:
    async with LossyProxy("http://127.0.0.1:1/base").running() as proxy:
        assert proxy.url.endswith("/base")
        (case,) = [case for case in CASES if case.name == "charge-answer-lost"]
        (found,) = [each async for each in run_suite(SimulatedPayments(), Options(), proxy.lose_answer, cases=[case])]
    assert (found.verdict, found.expected) == (Verdict.FAILED, "a call through the proxy at `AdapterSettings.url`")


async def test_target_without_a_proxy_discards_results(server: ProviderServer) -> None:
    settings = Settings(payment_provider="http", payment_url=server.url)
    async with open_target(settings, proxy=False) as target:
        assert not target.loses_on_the_wire
        async with target.lose_answer():
            made = await target.provider.charge(
                PaymentIntent(payment_id="pay-direct", order_id="ord-1", currency="USD", amount=1000)
            )
    assert isinstance(made, Charge)
