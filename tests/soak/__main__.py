"""`make soak`: each role of the local stack under a steady load, and whether its resources stay level.

Exits with 1 if a gauge grows by more than its tolerance and doesn't level off.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from soak.findings import findings, load_per_minute, no_growth, text
from soak.soak_run import SoakPlan, soak

_WARM_UP = 0.25
"""Part of the time that is ignored: imports, caches, pools and pollers settle."""


def main(
    minutes: Annotated[float, typer.Option(min=4, help="How long, with a quarter of it to warm up.")] = 60,
    concurrency: Annotated[int, typer.Option(min=1, help="Open orders, constantly.")] = 40,
    seed: Annotated[int, typer.Option(help="Which orders.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = Path(".orderfleet/soak.json"),
) -> None:
    """Run a soak and report the trends."""
    plan = SoakPlan(minutes=minutes, concurrency=concurrency, seed=seed)
    result = asyncio.run(soak(plan, lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)))
    warm_up = minutes * 60 * _WARM_UP
    found = findings(result.samples, result.orders, warm_up)
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {**asdict(result), "findings": [asdict(one) for one in found]}
    out.write_text(json.dumps(document) + "\n")
    print(f"\n{text(found, result.done, load_per_minute(result.orders, warm_up))}\n\nwritten to {out}")
    raise typer.Exit(0 if no_growth(found) else 1)


if __name__ == "__main__":
    typer.run(main)
