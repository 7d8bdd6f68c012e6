"""Commands of `make bench` and `make bench-…`: each measures one scenario on a new stack, and writes table and JSON.

The empty fleet and Orderfleet run in interleaved rounds. Compare ratios within one run only, because other programs
load a shared machine differently in another run.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import table
from bench.bench_stack import bench_stack
from bench.contenders import start_empty_fleet, start_orderfleet
from bench.figures import (
    FINISHED_FIGURES,
    FLEET_FIGURES,
    ORDERS_FIGURES,
    STORE_FIGURES,
    WAITING_ORDERS_FIGURES,
    WAITING_START_FIGURES,
    WORKERS_FIGURES,
    Figure,
    Values,
)
from bench.kubernetes_orders import measure_kubernetes_orders
from bench.many_workers import measure_many_workers
from bench.measure import Load, measure_round, warm_up
from bench.order_store import measure_order_store
from bench.scaling import measure_scaling, measure_worker_start
from bench.stock_reservations import measure_stock
from bench.waiting_orders import measure_waiting_orders

app = typer.Typer(add_completion=False)


@app.command()
def run(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 5,
    orders: Annotated[int, typer.Option(help="Orders of a round with 50 at once, and half of those with 200.")] = 200,
    alone: Annotated[int, typer.Option(help="Orders of a round one after the other.")] = 30,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench.json"),
    tracing: Annotated[bool, typer.Option(help="Export the trace of every order.")] = True,
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
    """Compare two runs."""
    table.compare(*(json.loads(path.read_text()) for path in (before, after)))


@app.command()
def orders(
    alone: Annotated[int, typer.Option(help="Orders one after the other.")] = 20,
    together: Annotated[int, typer.Option(help="Orders at once.")] = 100,
    finished: Annotated[int, typer.Option(help="Finished Orders present at a start of the operator.")] = 0,
    waiting: Annotated[int, typer.Option(help="Orders that wait for approval at a start of the operator.")] = 0,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench-orders.json"),
) -> None:
    """Measure Orders in Kubernetes: time to start, time to their status, and CPU."""

    async def measured() -> dict[str, Any]:
        async with bench_stack() as stack:
            fleet = start_orderfleet(stack.folder, stack.client, stack.environment())
            await warm_up(fleet, together)
            return await measure_kubernetes_orders(
                stack, fleet, alone=alone, together=together, finished=finished, waiting=waiting
            )

    shown = (*ORDERS_FIGURES, *(FINISHED_FIGURES if finished else ()), *(WAITING_START_FIGURES if waiting else ()))
    _report("Orders in Kubernetes", shown, asyncio.run(measured()), out, "waiting_levels")


@app.command()
def store(
    orders: Annotated[int, typer.Option(help="Orders in the order store before the measurement.")] = 1_000_000,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench-store.json"),
) -> None:
    """Measure the order store with many orders and their past reservations of stock, and an empty one."""

    async def measured() -> dict[str, Any]:
        async with bench_stack(tracing=False) as stack:
            found = await measure_order_store(stack.database_url, orders)
            return found | await measure_stock(stack.database_url, orders)

    _report(f"The order store with {orders:,} orders", STORE_FIGURES, asyncio.run(measured()), out)


@app.command()
def workers(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds, and starts.")] = 3,
    orders: Annotated[int, typer.Option(help="Orders of a round.")] = 100,
    slots: Annotated[int, typer.Option(help="Activities that an order worker runs at once.")] = 10,
    latency: Annotated[int, typer.Option(help="Latency of the payment provider in milliseconds.")] = 250,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench-workers.json"),
) -> None:
    """Measure one and two order workers, and the time from a worker's start to its first task."""

    async def measured() -> dict[str, Any]:
        async with bench_stack(tracing=False) as stack:
            started = await measure_worker_start(stack, times=rounds)
            return started | await measure_scaling(stack, rounds=rounds, orders=orders, slots=slots, latency_ms=latency)

    _report("Workers", WORKERS_FIGURES, asyncio.run(measured()), out)


@app.command()
def fleet(
    most: Annotated[int, typer.Option(help="Maximum number of order workers; 1, 2, 4 … of them are measured.")] = 8,
    orders: Annotated[int, typer.Option(help="Orders for each worker.")] = 60,
    slots: Annotated[int, typer.Option(help="Activities that an order worker runs at once.")] = 2,
    latency: Annotated[int, typer.Option(help="Latency of the payment provider in milliseconds.")] = 500,
    server: Annotated[int, typer.Option(help="Latency of the stub of Temporal in milliseconds.")] = 10,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench-fleet.json"),
) -> None:
    """Measure many order workers against a stub of Temporal, and the maximum of one."""

    async def measured() -> dict[str, Any]:
        async with bench_stack(tracing=False) as stack:
            counts = [2**power for power in range(most.bit_length())]
            return await measure_many_workers(
                stack, counts=counts, orders=orders, slots=slots, latency_ms=latency, server_ms=server
            )

    _report("Many workers against a stub of Temporal", FLEET_FIGURES, asyncio.run(measured()), out, "fleets")


@app.command()
def waiting(
    most: Annotated[int, typer.Option(help="Maximum number of orders that wait for a review.")] = 5000,
    orders: Annotated[int, typer.Option(help="Orders that run to their end among them.")] = 150,
    out: Annotated[Path, typer.Option(help="File for the JSON.")] = Path(".orderfleet/bench-waiting.json"),
) -> None:
    """Measure how waiting orders slow others down."""

    async def measured() -> dict[str, Any]:
        async with bench_stack() as stack:
            ours = start_orderfleet(stack.folder, stack.client, stack.environment())
            await warm_up(ours, orders)
            return await measure_waiting_orders(stack, ours, most=most, orders=orders)

    _report(
        f"With {most:,} orders waiting for a review",
        WAITING_ORDERS_FIGURES,
        asyncio.run(measured()),
        out,
        "waited_levels",
    )


def _report(title: str, figures: Iterable[Figure], values: dict[str, Any], out: Path, levels: str = "") -> None:
    """Write the JSON and print the figures; `levels` names the value that has them for rising numbers of orders."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"commit": _commit(), "cores": os.cpu_count(), **values}, indent=1))
    if levels in values:
        table.show_levels(title, values[levels])
    table.show_values(title, figures, values)
    table.console.print(f"written to {out}")


async def _measured(load: Load, rounds: int, *, tracing: bool) -> dict[str, Any]:
    measured: list[dict[str, Values]] = []
    async with bench_stack(tracing=tracing) as stack:
        contenders = [
            start_empty_fleet(stack.folder, stack.temporal_address, stack.plain),
            start_orderfleet(stack.folder, stack.client, stack.environment()),
        ]
        for contender in contenders:
            await warm_up(contender, min(100, load.orders_200))
        for number in range(rounds):
            # Both start every other round, because work that one leaves behind slows the next one down.
            order = contenders if number % 2 == 0 else contenders[::-1]
            measured.append({each.name: await measure_round(stack, each, load) for each in order})
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
    described = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent)
    return described.stdout.strip() or "no commit"


if __name__ == "__main__":
    app()
