"""`orderfleet demo`: brings the stack up, plays a scenario, and ends with the audit trail and where to look."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orderfleet.cli.exits import EXITS, Failed
from orderfleet.cli.show import console, events_table

if TYPE_CHECKING:
    from orderfleet.cli.demo.stage import Stage
    from orderfleet.contracts.record import RecordedEvent

app = typer.Typer(add_completion=False)


class Scenario(StrEnum):
    """What can be watched."""

    HAPPY = "happy"


_HAPPY: Final = Scenario.HAPPY
_SAMPLE: Final = "deploy/samples/order.yaml"


@app.command(epilog=f"Examples:\n\n  $ orderfleet demo\n\n  $ orderfleet demo happy\n\n{EXITS}")
def demo(
    scenario: Annotated[Scenario, typer.Argument(help="`happy`: applied, approved, charged, shipped.")] = _HAPPY,
) -> None:
    """Follow one order from `kubectl apply` until its own status in Kubernetes says shipped.

    The local stack is started if it isn't up, and left running: look around, then `make down`.
    """
    from orderfleet.cli.demo import stage  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.cli.demo.happy import Happy, order_named  # noqa: PLC0415
    from orderfleet.cli.demo.kubectl import Kubectl  # noqa: PLC0415
    from orderfleet.cli.demo.view import View  # noqa: PLC0415
    from orderfleet.stack import paths  # noqa: PLC0415
    from orderfleet.stack.provision.ladder import provide  # noqa: PLC0415

    began = time.monotonic()
    here = stage.ready(lambda text: typer.echo(f"stack: {text}"))
    name, manifest = order_named(paths.checkout() / _SAMPLE, scenario)
    terminal = console()
    with View(terminal, name) as view:
        kubectl = Kubectl(provide(["kubectl"])["kubectl"], here.state.kubeconfig, view.command)
        Happy(here, kubectl, view, name, manifest, _SAMPLE).play()
    terminal.print(f"Audit trail of {name}", style="bold")
    terminal.print(events_table(_events(here, name)))
    terminal.print(f"\nThe Order says shipped, {time.monotonic() - began:.1f} s after the start. Where to look:")
    _where_to_look(here, name)


def _events(stage: Stage, name: str) -> list[RecordedEvent]:
    from orderfleet.cli.configuration import read_settings  # noqa: PLC0415
    from orderfleet.contracts.errors import StoreUnavailable  # noqa: PLC0415
    from orderfleet.store import OrderReads, connect  # noqa: PLC0415

    settings = read_settings(database_url=stage.state.database_url)

    async def read() -> list[RecordedEvent]:
        async with connect(settings, "demo") as database:
            return await OrderReads(database).events(name)

    try:
        return asyncio.run(read())
    except StoreUnavailable as error:
        raise Failed(f"the order is shipped, but its audit trail can't be read: {error}") from None


def _where_to_look(stage: Stage, name: str) -> None:
    from orderfleet.cli.stack import print_links  # noqa: PLC0415

    print_links(stage.state)
    typer.echo(f"  {'Its workflow':<30} {stage.state.temporal_ui_url}/namespaces/default/workflows/order-{name}")
    typer.echo(f"  {'Its Order':<30} kubectl describe orders.orderfleet.dev {name}")
    kept = "The stack stays up" if stage.started else "The stack was up before and stays so"
    typer.echo(f"{kept}; `make down` stops it.")
