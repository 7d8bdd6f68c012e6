"""Runs the cases against an adapter, and says what each one found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.providers.conformance import amounts, books, repeated_calls, voids
from orderfleet.providers.conformance.bench import (
    Bench,
    LoseAnswer,
    NotApplicable,
    Options,
    Unexpected,
    discard_result,
    shown,
)
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.interfaces import PaymentProvider

CASES: Final[Sequence[Case]] = (*repeated_calls.CASES, *amounts.CASES, *voids.CASES, *books.CASES)
"""Every case, in the order of a run. No case depends on another."""

CASE_TIMEOUT: Final = 120.0
"""Seconds of one case."""


class Verdict(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What a case found."""

    case: str
    guarantee: str
    verdict: Verdict
    expected: str = ""
    """Of a failed case."""
    seen: str = ""
    """Of a failed case; of a skipped one, why."""
    seconds: float


async def run_case(
    case: Case, provider: PaymentProvider, options: Options, lose_answer: LoseAnswer = discard_result
) -> CaseResult:
    """Run one case.

    Args:
        case: to run.
        provider: the adapter under test.
        options: what the suite has to know of the provider.
        lose_answer: makes the provider act on the next call and lose its answer.
    """
    started, verdict, expected, seen = time.perf_counter(), Verdict.PASSED, "", ""
    try:
        async with asyncio.timeout(CASE_TIMEOUT):
            await case.run(Bench(provider, options, lose_answer))
    except NotApplicable as error:
        verdict, seen = Verdict.SKIPPED, str(error)
    except Unexpected as error:
        verdict, expected, seen = Verdict.FAILED, error.expected, error.seen
    except TimeoutError:
        verdict, expected, seen = Verdict.FAILED, f"an end within {CASE_TIMEOUT:.0f} s", "none"
    except ProviderUnavailable as error:
        verdict, expected, seen = Verdict.FAILED, "a provider that answers", shown(error)
    except Exception as error:  # noqa: BLE001 - an adapter may raise anything
        verdict, expected, seen = Verdict.FAILED, case.guarantee, shown(error)
    return CaseResult(
        case=case.name,
        guarantee=case.guarantee,
        verdict=verdict,
        expected=expected,
        seen=seen,
        seconds=round(time.perf_counter() - started, 3),
    )


async def run_suite(
    provider: PaymentProvider,
    options: Options,
    lose_answer: LoseAnswer = discard_result,
    *,
    cases: Sequence[Case] = CASES,
) -> AsyncIterator[CaseResult]:
    """Yield the result of each case as it ends. Takes the same as `run_case`, and the cases."""
    for case in cases:
        yield await run_case(case, provider, options, lose_answer)
