"""The conformance suite against the adapter `stripe`, with answers that are lost on the wire."""

from __future__ import annotations

from pathlib import Path

from orderfleet.providers.conformance.bench import Options
from orderfleet.providers.conformance.suite import CASES, Verdict, run_suite
from orderfleet.providers.conformance.target import open_target
from orderfleet.settings import Settings
from stripe_server import books
from stripe_server.server import KEY, StripeServer


async def test_stripe_passes_the_conformance_suite(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    async with StripeServer().running() as server:
        settings = Settings(
            payment_provider="stripe",
            payment_url=server.url,
            payment_token_file=tmp_path / "key",
            stripe_return_url="https://shop.example.com/paid",
            payment_timeout="20s",
            charge_timeout="60s",
            capture_timeout="60s",
            refund_timeout="60s",
        )
        options = Options(
            method=books.CARD,
            declined_method=books.DECLINED,
            pending_method=books.AUTHENTICATION,
            lapsing_method=books.LAPSING,
        )
        async with open_target(settings) as target:
            assert target.loses_on_the_wire
            results = [each async for each in run_suite(target.provider, options, target.lose_answer)]
    failed = [
        f"{each.case}: expected {each.expected}; seen {each.seen}" for each in results if each.verdict is Verdict.FAILED
    ]
    assert not failed, "\n".join(failed)
    assert [str(each.case) for each in results if each.verdict is not Verdict.PASSED] == []
    assert len(results) == len(CASES)
