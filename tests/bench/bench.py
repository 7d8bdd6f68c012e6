"""`make bench`: the yardstick and Orderfleet on one fresh stack, in interleaved rounds; the other `make bench-…`.

The table is for people, the JSON for comparing. Only ratios within one run mean anything on a shared
machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

import table
from contenders import start_empty_fleet, start_orderfleet
from crowded import crowded
from declared import declared
from figures import (
    FINISHED_FIGURES,
    FLEET_FIGURES,
    ORDERS_FIGURES,
    RECORD_FIGURES,
    WAITED_FIGURES,
    WAITING_FIGURES,
    WORKERS_FIGURES,
    Figure,
    Values,
)
from many_workers import many_workers
from measure import Load, one_round, warm_up
from scaling import scaling, starting
from stand import stand
from waited import waited

app = typer.Typer(add_completion=False)


@app.command()
def run(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 5,
    orders: Annotated[int, typer.Option(help="Orders of a round at 50 at once, and half of those at 200.")] = 200,
    alone: Annotated[int, typer.Option(help="Orders of a round one after the other.")] = 30,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench.json"),
    tracing: Annotated[bool, typer.Option(help="Send traces, every order's as by default.")] = True,
) -> None:
    """Measure, print the table, write the JSON."""
    load = Load(orders_50=orders, orders_200=2 * orders, alone=alone)
    measured = asyncio.run(_measured(load, rounds, tracing=tracing))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(measured, indent=1))
    table.show(measured)
    table.console.print(f"written to {out}")


@app.command()
def compare(before: Path, after: Path) -> None:
    """Show two runs beside each other."""
    table.compare(*(json.loads(path.read_text()) for path in (before, after)))


@app.command()
def orders(
    alone: Annotated[int, typer.Option(help="Orders one after the other.")] = 20,
    together: Annotated[int, typer.Option(help="Orders at once.")] = 100,
    finished: Annotated[int, typer.Option(help="Finished Orders present at a start of the operator.")] = 0,
    waiting: Annotated[int, typer.Option(help="Orders that wait for approval at a start of the operator.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench-orders.json"),
) -> None:
    """Measure Orders in Kubernetes: how soon they start, how soon their status tells, what they cost."""

    async def measured() -> dict[str, Any]:
        async with stand() as here:
            fleet = start_orderfleet(here.folder, here.client, here.environment())
            await warm_up(fleet, together)
            return await declared(here, fleet, alone=alone, together=together, finished=finished, waiting=waiting)

    shown = (*ORDERS_FIGURES, *(FINISHED_FIGURES if finished else ()), *(WAITING_FIGURES if waiting else ()))
    _told("Orders in Kubernetes", shown, asyncio.run(measured()), out, "waiting_levels")


@app.command()
def record(
    orders: Annotated[int, typer.Option(help="Orders that are there already.")] = 1_000_000,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench-record.json"),
) -> None:
    """Measure the record with many orders in it beside an empty one."""

    async def measured() -> dict[str, Any]:
        async with stand(tracing=False) as here:
            return await crowded(here.database_url, orders)

    _told(f"The record with {orders:,} orders", RECORD_FIGURES, asyncio.run(measured()), out)


@app.command()
def workers(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, and starts.")] = 3,
    orders: Annotated[int, typer.Option(help="Orders of a round.")] = 100,
    slots: Annotated[int, typer.Option(help="Activities an order worker runs at once.")] = 10,
    latency: Annotated[int, typer.Option(help="Milliseconds that the payment provider takes.")] = 250,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench-workers.json"),
) -> None:
    """Measure two order workers beside one, and how soon a worker does its first task."""

    async def measured() -> dict[str, Any]:
        async with stand(tracing=False) as here:
            started = await starting(here, times=rounds)
            return started | await scaling(here, rounds=rounds, orders=orders, slots=slots, latency_ms=latency)

    _told("Workers", WORKERS_FIGURES, asyncio.run(measured()), out)


@app.command()
def fleet(
    most: Annotated[int, typer.Option(help="Order workers at most; 1, 2, 4 … of them are measured.")] = 8,
    orders: Annotated[int, typer.Option(help="Orders for each worker.")] = 60,
    slots: Annotated[int, typer.Option(help="Activities an order worker runs at once.")] = 2,
    latency: Annotated[int, typer.Option(help="Milliseconds that the payment provider takes.")] = 500,
    server: Annotated[int, typer.Option(help="Milliseconds that the stub of Temporal takes to answer.")] = 10,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench-fleet.json"),
) -> None:
    """Measure many order workers against a stub of Temporal, and one flat out."""

    async def measured() -> dict[str, Any]:
        async with stand(tracing=False) as here:
            counts = [2**power for power in range(most.bit_length())]
            return await many_workers(
                here, counts=counts, orders=orders, slots=slots, latency_ms=latency, server_ms=server
            )

    _told("Many workers against a stub of Temporal", FLEET_FIGURES, asyncio.run(measured()), out, "fleets")


@app.command()
def waiting(
    most: Annotated[int, typer.Option(help="Orders that wait for a review at most.")] = 5000,
    orders: Annotated[int, typer.Option(help="Orders that are taken to their end among them.")] = 150,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/bench-waiting.json"),
) -> None:
    """Measure what waiting orders cost the others."""

    async def measured() -> dict[str, Any]:
        async with stand() as here:
            ours = start_orderfleet(here.folder, here.client, here.environment())
            await warm_up(ours, orders)
            return await waited(here, ours, most=most, orders=orders)

    _told(f"With {most:,} orders waiting for a review", WAITED_FIGURES, asyncio.run(measured()), out, "waited_levels")


def _told(title: str, figures: Iterable[Figure], values: dict[str, Any], out: Path, levels: str = "") -> None:
    """Write the JSON and show the figures; `levels` names the value that has them at rising numbers."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"commit": _commit(), "cores": os.cpu_count(), **values}, indent=1))
    if levels in values:
        table.show_levels(title, values[levels])
    table.show_values(title, figures, values)
    table.console.print(f"written to {out}")


async def _measured(load: Load, rounds: int, *, tracing: bool) -> dict[str, Any]:
    measured: list[dict[str, Values]] = []
    async with stand(tracing=tracing) as here:
        contenders = [
            start_empty_fleet(here.folder, here.temporal_address, here.plain),
            start_orderfleet(here.folder, here.client, here.environment()),
        ]
        for contender in contenders:
            await warm_up(contender, min(100, load.orders_200))
        for number in range(rounds):
            # Each begins every other round: what one leaves to be done falls to the other half of the time.
            order = contenders if number % 2 == 0 else contenders[::-1]
            measured.append({each.name: await one_round(here, each, load) for each in order})
            table.console.print(f"round {number + 1} of {rounds} done")
    return {
        "at": datetime.now().astimezone().isoformat(timespec="minutes"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "load": {**vars(load), "tracing": tracing},
        "rounds": measured,
    }


def _commit() -> str:
    command = ("git", "describe", "--always", "--dirty")
    told = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent)
    return told.stdout.strip() or "no commit"


if __name__ == "__main__":
    app()
