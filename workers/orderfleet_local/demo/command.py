"""`orderfleet demo`: starts the local stack, runs one scenario or all, and prints the checks and links."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orderfleet.cli.errors import EXITS, Failed
from orderfleet.cli.output import console, events_table
from orderfleet.domain.errors import OrderfleetError, StoreUnavailable

if TYPE_CHECKING:
    from rich.console import Console

    from orderfleet_local.demo.checks import Outcome
    from orderfleet_local.demo.environment import DemoEnvironment
    from orderfleet_local.demo.runner import Scenario

app = typer.Typer(add_completion=False)


class Choice(StrEnum):
    """Names of the scenarios, and `all`."""

    HAPPY = "happy"
    CANCEL = "cancel"
    ADDRESS = "address"
    REVIEW_TIMEOUT = "review-timeout"
    REFUND = "refund"
    AUTHORIZE = "authorize"
    PARTIAL_REFUND = "partial-refund"
    FLAKY = "flaky"
    WORKER_CRASH = "worker-crash"
    ALL = "all"


_SAMPLE: Final = "deploy/samples/order.yaml"
_HELP: Final = (
    "`happy`: approved, charged, shipped. `cancel`: canceled in review. `address`: changed in review."
    " `review-timeout`: not approved in time. `refund`: rejected by the carrier."
    " `partial-refund`: shipped, then refunded in parts. `authorize`: captured on shipment, after a refusal."
    " `flaky`: attempts fail and hang."
    " `worker-crash`: worker killed during the charge. `all`: one after the other."
)


@app.command(
    epilog="Examples:\n\n  $ orderfleet demo\n\n  $ orderfleet demo worker-crash\n\n  $ orderfleet demo all\n\n" + EXITS
)
def demo(scenario: Annotated[Choice, typer.Argument(help=_HELP)] = Choice.HAPPY) -> None:
    """Follow an order from `kubectl apply` to its end, then check its status, payments and parcels.

    The local stack is started if it isn't running, and keeps running until `make down`.

    Settings that a scenario changes are restored at its end.
    """
    from orderfleet_local.demo.checks import summary  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet_local.demo.environment import start_environment  # noqa: PLC0415
    from orderfleet_local.demo.scenarios import SCENARIOS  # noqa: PLC0415
    from orderfleet_local.provision.resolver import provide  # noqa: PLC0415

    start = time.monotonic()
    environment = start_environment(lambda text: typer.echo(f"stack: {text}"))
    kubectl = provide(["kubectl"])["kubectl"]
    terminal = console()
    if scenario is Choice.ALL:
        outcomes = [_run(each, environment, kubectl, terminal) for each in SCENARIOS.values()]
        terminal.print(summary(outcomes))
        _raise_failures(outcomes)
        end = "Every scenario ended as expected"
    else:
        outcomes = [_run(SCENARIOS[scenario], environment, kubectl, terminal)]
        _print_audit_trail(terminal, environment, outcomes[0].order)
        _raise_failures(outcomes)
        end = f"The Order is {SCENARIOS[scenario].final_step}"
    terminal.print(f"\n{end}, {time.monotonic() - start:.1f} s after the start. Links:")
    _print_links(environment, outcomes[-1].order)


def _run(scenario: Scenario, environment: DemoEnvironment, kubectl: Path, terminal: Console) -> Outcome:
    from orderfleet_local.demo.checks import Outcome, print_findings  # noqa: PLC0415
    from orderfleet_local.demo.runner import order_for, run_scenario  # noqa: PLC0415
    from orderfleet_local.demo.view import View  # noqa: PLC0415
    from orderfleet_local.stack import paths  # noqa: PLC0415

    start = time.monotonic()
    terminal.print(f"[bold]{scenario.name}[/]: {scenario.description}")
    order, manifest = order_for(scenario, paths.checkout() / _SAMPLE)
    findings, problem = [], ""
    try:
        with View(terminal, order) as view:
            findings = run_scenario(scenario, environment, kubectl, view, order, manifest, _SAMPLE)
    except OrderfleetError as error:
        problem = str(error)
    outcome = Outcome(scenario.name, order, findings, problem, time.monotonic() - start)
    print_findings(terminal, outcome)
    terminal.print()
    return outcome


def _raise_failures(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        raise Failed("\n".join(f"{outcome.scenario}: {outcome.failure}" for outcome in failed))


def _print_audit_trail(terminal: Console, environment: DemoEnvironment, order: str) -> None:
    from orderfleet_local.demo.checks import recorded_events  # noqa: PLC0415

    terminal.print(f"Audit trail of {order}", style="bold")
    try:
        terminal.print(events_table(recorded_events(environment, order)))
    except StoreUnavailable as error:
        terminal.print(f"it can't be read: {error}", markup=False)


def _print_links(environment: DemoEnvironment, order: str) -> None:
    from orderfleet_local.cli.stack import print_links  # noqa: PLC0415

    print_links(environment.state)
    typer.echo(f"  {'Its workflow':<30} {environment.state.temporal_ui_url}/namespaces/default/workflows/order-{order}")
    typer.echo(f"  {'Its Order':<30} kubectl describe orders.orderfleet.dev {order}")
    still = "keeps running" if environment.started else "was running before and keeps running"
    typer.echo(f"The stack {still}; `make down` stops it.")
