"""`make chaos`: the local stack under load and under faults, and whether every promise was kept.

Exits with 1 if a promise was broken. A seed determines the orders and the faults, counted in orders.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from chaos.promises import promises
from chaos.report import document, no_violation, text, write
from chaos.storm import Size, storm


def main(
    orders: Annotated[int, typer.Option(min=1, help="Orders, half over HTTP and half in Kubernetes.")] = 2000,
    faults: Annotated[int, typer.Option(min=0, help="Faults, over all parts and the connections between them.")] = 200,
    seed: Annotated[int, typer.Option(help="Which storm.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Orders in progress at the same time, at most.")] = 40,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/chaos.json"),
) -> None:
    """Run a storm and check every promise."""
    size = Size(orders=orders, faults=faults, seed=seed, concurrency=concurrency, settle=600)
    run, evidence = asyncio.run(storm(size, lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)))
    found = document(run, evidence, promises(evidence))
    write(found, out)
    print(f"\n{text(found)}\n\nwritten to {out}")
    raise typer.Exit(0 if no_violation(found) else 1)


if __name__ == "__main__":
    typer.run(main)
