"""A pytest plugin for the tests of a payment adapter: a test with the argument `payment_case` runs for each case.

Name it in the root `conftest.py`: `pytest_plugins = ["orderfleet.providers.conformance.pytest_plugin"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from orderfleet.providers.conformance.bench import LoseAnswer, Options, discard_result
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.conformance.suite import CASES, CaseResult, Verdict, run_case
from orderfleet.providers.interfaces import PaymentProvider


@dataclass(frozen=True)
class PaymentCase:
    """One case of the suite, as the argument of a test."""

    case: Case

    def run(
        self,
        adapter: Callable[[], AbstractAsyncContextManager[PaymentProvider]],
        options: Options | None = None,
        lose_answer: LoseAnswer = discard_result,
    ) -> None:
        """Run the case in an event loop of its own. The test fails or is skipped as the case is.

        Args:
            adapter: opens the adapter, in that event loop.
            options: what the suite has to know of the provider.
            lose_answer: makes the provider act on the next call and lose its answer; the suite discards the result
                of that call unless this is given.
        """

        async def opened() -> CaseResult:
            async with adapter() as provider:
                return await run_case(self.case, provider, options or Options(), lose_answer)

        result = asyncio.run(opened())
        if result.verdict is Verdict.SKIPPED:
            pytest.skip(result.seen)
        if result.verdict is Verdict.FAILED:
            pytest.fail(f"{result.guarantee}: expected {result.expected}; saw {result.seen}", pytrace=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the argument `payment_case` once for each case."""
    if "payment_case" in metafunc.fixturenames:
        metafunc.parametrize("payment_case", [PaymentCase(case) for case in CASES], ids=[case.name for case in CASES])
