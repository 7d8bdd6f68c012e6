"""`orderfleet conformance`: check an adapter against the guarantees that Orderfleet builds on."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from orderfleet.cli.errors import Exit, UsageError, read_settings
from orderfleet.cli.output import Output, OutputOption, console, plain_table, print_document
from orderfleet.providers.conformance.bench import Options
from orderfleet.providers.conformance.suite import CASES, CaseResult, Verdict, run_suite
from orderfleet.providers.conformance.target import open_target
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment
from orderfleet.settings.providers import SIMULATED

_SIMULATED: Final = Options(declined_method="refuse", pending_method="pending", lapsing_method="lapse:500ms")

_COLORS: Final = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.SKIPPED: "yellow"}

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Check an adapter against its guarantees.")


@app.command(
    epilog="Examples:\n\n  $ orderfleet conformance payments --adapter simulated\n\n"
    "  $ orderfleet conformance payments --adapter http --declined-method tok_declined --currency EUR -o json\n\n"
    "Exit status: 0 all cases passed or were skipped, 1 a case failed, 2 wrong arguments or settings."
)
def payments(
    adapter: Annotated[str, typer.Option(help="Name of the adapter; the settings have its URL and its token.")],
    method: Annotated[str, typer.Option(help="Token of a means of payment that is accepted at once.")] = "",
    declined_method: Annotated[str, typer.Option(help="Token of one that is declined.")] = "",
    pending_method: Annotated[str, typer.Option(help="Token of one that waits for the customer.")] = "",
    lapsing_method: Annotated[str, typer.Option(help="Token of one whose authorizations lapse within seconds.")] = "",
    currency: Annotated[
        list[str] | None, typer.Option(help="Currency to try, several times; without it USD, JPY and KWD.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option(help="Case to run, several times; without it all cases.")] = None,
    proxy: Annotated[
        bool, typer.Option(help="Lose answers in a proxy in front of an http:// service; else discard results.")
    ] = True,
    output: OutputOption = Output.TABLE,
) -> None:
    """Charge, authorize, capture, refund and void payments of an adapter, and check what its provider has of them.

    The cases move money at the provider: use its test mode. Each payment has an id of its own that begins with
    `conformance-`.
    """
    if unknown := set(case or ()) - {each.name for each in CASES}:
        known = ", ".join(each.name for each in CASES)
        raise UsageError(f"no case is called {' or '.join(sorted(unknown))}; known: {known}")
    defaults = _SIMULATED if adapter == SIMULATED else Options()
    try:
        options = Options(
            method=method,
            declined_method=declined_method or defaults.declined_method,
            pending_method=pending_method or defaults.pending_method,
            lapsing_method=lapsing_method or defaults.lapsing_method,
            currencies=tuple(currency or defaults.currencies),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    # `simulated` gets a ledger of its own, because the cases are no orders of the stack.
    simulated = {"environment": Environment.LOCAL, "simulated_ledger": None} if adapter == SIMULATED else {}
    settings = read_settings(payment_provider=adapter, **simulated)
    results, on_the_wire = asyncio.run(_run(settings, options, case or [], proxy=proxy))
    if output is Output.TABLE:
        console().print(_table(results))
        console().print(_summary(results, adapter, on_the_wire=on_the_wire))
    else:
        print_document([asdict(result) for result in results], output)
    if any(result.verdict is Verdict.FAILED for result in results):
        raise typer.Exit(Exit.FAILED)


async def _run(settings: Settings, options: Options, names: list[str], *, proxy: bool) -> tuple[list[CaseResult], bool]:
    cases = [each for each in CASES if not names or each.name in names]
    async with open_target(settings, proxy=proxy) as target:
        results = [each async for each in run_suite(target.provider, options, target.lose_answer, cases=cases)]
        return results, target.loses_on_the_wire


def _table(results: list[CaseResult]) -> Table:
    table = plain_table("CASE", "RESULT", "GUARANTEE")
    for result in results:
        color, text = _COLORS[result.verdict], escape(result.guarantee)
        if result.verdict is Verdict.FAILED:
            text += escape(f"\nexpected: {result.expected}\nseen: {result.seen}")
        elif result.verdict is Verdict.SKIPPED:
            text += escape(f" ({result.seen})")
        table.add_row(result.case, f"[{color}]{result.verdict}[/]", text)
    return table


def _summary(results: list[CaseResult], adapter: str, *, on_the_wire: bool) -> str:
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    how = "between service and adapter" if on_the_wire else "behind the adapter: its results were discarded"
    numbers = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{escape(adapter)}: {numbers}; answers were lost {how}"
