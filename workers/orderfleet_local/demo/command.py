"""`orderfleet demo`: brings the stack up, plays a scenario or all, and ends with what was found and where to look."""

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
    """What can be watched: each scenario, and all of them."""

    HAPPY = "happy"
    CANCEL = "cancel"
    ADDRESS = "address"
    REVIEW_TIMEOUT = "review-timeout"
    REFUND = "refund"
    FLAKY = "flaky"
    WORKER_CRASH = "worker-crash"
    ALL = "all"


_HAPPY: Final = Choice.HAPPY
_SAMPLE: Final = "deploy/samples/order.yaml"
_HELP: Final = (
    "`happy`: approved, charged, shipped. `cancel`: canceled in review. `address`: changed on the way."
    " `review-timeout`: nobody approves. `refund`: the carrier refuses. `flaky`: attempts fail and hang."
    " `worker-crash`: killed in the middle of the charge. `all`: one after the other."
)


@app.command(
    epilog="Examples:\n\n  $ orderfleet demo\n\n  $ orderfleet demo worker-crash\n\n  $ orderfleet demo all\n\n" + EXITS
)
def demo(scenario: Annotated[Choice, typer.Argument(help=_HELP)] = _HAPPY) -> None:
    """Follow an order from `kubectl apply` to its end, and check Kubernetes, money and parcels then.

    The local stack is started if it isn't up, and left running: look around, then `make down`.

    Settings that a scenario needs are put back when it is over.
    """
    from orderfleet_local.demo import environment  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet_local.demo.checks import summary  # noqa: PLC0415
    from orderfleet_local.demo.scenarios import SCENARIOS  # noqa: PLC0415
    from orderfleet_local.provision.resolver import provide  # noqa: PLC0415

    began = time.monotonic()
    here = environment.ready(lambda text: typer.echo(f"stack: {text}"))
    kubectl = provide(["kubectl"])["kubectl"]
    terminal = console()
    if scenario is Choice.ALL:
        outcomes = [_played(each, here, kubectl, terminal) for each in SCENARIOS.values()]
        terminal.print(summary(outcomes))
        _complain([outcome for outcome in outcomes if not outcome.fine])
        end = "Every scenario ended as it should"
    else:
        outcomes = [_played(SCENARIOS[scenario], here, kubectl, terminal)]
        _audit_trail(terminal, here, outcomes[0].order)
        _complain([outcome for outcome in outcomes if not outcome.fine])
        end = f"The Order says {SCENARIOS[scenario].ends}"
    terminal.print(f"\n{end}, {time.monotonic() - began:.1f} s after the start. Where to look:")
    _where_to_look(here, outcomes[-1].order)


def _played(scenario: Scenario, here: DemoEnvironment, kubectl: Path, terminal: Console) -> Outcome:
    from orderfleet_local.demo.checks import Outcome, tell  # noqa: PLC0415
    from orderfleet_local.demo.runner import order_for, play  # noqa: PLC0415
    from orderfleet_local.demo.view import View  # noqa: PLC0415
    from orderfleet_local.stack import paths  # noqa: PLC0415

    began = time.monotonic()
    terminal.print(f"[bold]{scenario.name}[/]: {scenario.tells}")
    order, manifest = order_for(scenario, paths.checkout() / _SAMPLE)
    findings, problem = [], ""
    try:
        with View(terminal, order) as view:
            findings = play(scenario, here, kubectl, view, order, manifest, _SAMPLE)
    except OrderfleetError as error:
        problem = str(error)
    outcome = Outcome(scenario.name, order, findings, problem, time.monotonic() - began)
    tell(terminal, outcome)
    terminal.print()
    return outcome


def _complain(wrong: list[Outcome]) -> None:
    if wrong:
        raise Failed("\n".join(f"{outcome.scenario}: {outcome.complaint}" for outcome in wrong))


def _audit_trail(terminal: Console, here: DemoEnvironment, order: str) -> None:
    from orderfleet_local.demo.checks import recorded_events  # noqa: PLC0415

    terminal.print(f"Audit trail of {order}", style="bold")
    try:
        terminal.print(events_table(recorded_events(here, order)))
    except StoreUnavailable as error:
        terminal.print(f"it can't be read: {error}", markup=False)


def _where_to_look(here: DemoEnvironment, order: str) -> None:
    from orderfleet_local.cli.stack import print_links  # noqa: PLC0415

    print_links(here.state)
    typer.echo(f"  {'Its workflow':<30} {here.state.temporal_ui_url}/namespaces/default/workflows/order-{order}")
    typer.echo(f"  {'Its Order':<30} kubectl describe orders.orderfleet.dev {order}")
    kept = "The stack stays up" if here.started else "The stack was up before and stays so"
    typer.echo(f"{kept}; `make down` stops it.")
