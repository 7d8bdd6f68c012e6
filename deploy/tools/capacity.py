"""Computes what a number of orders per hour needs, from the measured cost of one order.

`python deploy/tools/capacity.py 5000` prints a table. `--run` and similar options read the JSON of `make bench` and the
other benchmarks. `--write` stores these figures in `measured.json` and renews the tables of
`deploy/docs/performance.md`, which explains the formulas.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

MEASURED: Final = Path(__file__).with_name("measured.json")
PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
USUAL_RATES: Final = (100, 10_000, 1_000_000)
BEGIN: Final = "<!-- made by deploy/tools/capacity.py -->"
END: Final = "<!-- end -->"
LEVELS: Final = {
    "fleets": {
        "workers": "order workers",
        "rate": "orders a second",
        "cpu": "CPU of the workers per order, ms",
        "machine": "share of the machine in use",
    },
    "operator": {
        "present": "waiting Orders",
        "start": "operator's start to a new Order handled, s",
        "cpu": "CPU of that start, s",
        "memory": "memory then, MiB",
        "cpu_new": "CPU per new Order, ms",
    },
    "waiting": {
        "waiting": "waiting orders",
        "rate": "orders a second",
        "alone_p50": "one order alone, p50, ms",
        "cpu_workers": "CPU per order: workers, ms",
        "cpu_temporal": "CPU per order: Temporal, ms",
        "memory_workers": "memory of both workers, MiB",
        "memory_temporal": "memory of Temporal's dev server, MiB",
    },
}
"""Columns of each table of measurements: key in the JSON, and heading."""

FILL: Final = 0.6
"""Planned share of a core or shard. The rest is for bursts, retries and restarts."""
SLOTS: Final = 100
"""Activities that a worker runs at once (`ORDERFLEET_WORKER_ACTIVITY_SLOTS`)."""
POOL: Final = 10
"""Maximum connections of a process (`ORDERFLEET_DATABASE_POOL_SIZE`). Operator and API have one more for changes."""
API_PODS: Final = 2
"""The chart's default."""
UPDATES_PER_SHARD: Final = 30
"""Planned updates per second and history shard: one at a time, 5 ms each, filled by 0.6, and some shards receive four
times the mean."""
LEAST_SHARDS: Final = 512
TASKS_PER_PARTITION: Final = 250
LEAST_PARTITIONS: Final = 4
_MONTH_HOURS: Final = 720
_RETENTION_HOURS: Final = 72


@dataclass(frozen=True)
class Costs:
    """Costs of one order that is approved at creation and shipped. CPU in ms.

    Values with a default are counted, from a history, or assumed; the others are in `measured.json`.
    """

    orders_worker: float
    shipping_worker: float
    temporal: float
    postgres: float
    operator: float
    patches: float
    round_trips: float
    updates: int = 18
    """Updates of Temporal's state: 2 starts, 6 workflow tasks started and completed, 2 activities completed, 1 child
    started and completed."""
    orders_tasks: int = 4
    record_kib: float = 6.8
    wal_kib: float = 9.2
    history_kib: float = 14.0
    events: float = 6
    change_received: float = 0.01
    """CPU of an operator for each change of another operator's order. Each commit changes an order."""
    provider_seconds: float = 0.25
    """Latency of payment provider and carrier: an assumption, not a measurement."""

    def of_run(self, run: dict[str, Any]) -> Costs:
        """These costs with the CPU of a run of `make bench`."""
        ours = [each["Orderfleet"] for each in run["rounds"]]
        workers = median(each["cpu_workers"] for each in ours)
        share = self.orders_worker / (self.orders_worker + self.shipping_worker)
        return replace(
            self,
            orders_worker=workers * share,
            shipping_worker=workers * (1 - share),
            temporal=median(each["cpu_temporal"] for each in ours),
            postgres=median(each["cpu_postgres"] for each in ours),
            round_trips=median(each["round_trips"] for each in ours),
        )

    def of_orders_run(self, run: dict[str, Any]) -> Costs:
        """These costs with the operator's of a run of `make bench-orders`."""
        return replace(self, operator=run["operator_cpu"], patches=run["writes_approved"])


def needs(rate: int, costs: Costs) -> dict[str, str]:
    """The needs of `rate` orders per hour, formatted.

    Args:
        rate: orders per hour.
        costs: of one order.

    Raises:
        ValueError: operators cannot handle the rate with one database.
    """
    second = rate / 3600
    orders = _processes(second, costs.orders_worker, costs.provider_seconds)
    shipping = _processes(second, costs.shipping_worker, costs.provider_seconds)
    operators = _operators(second, costs)
    return {
        "orders a second": _number(second),
        "order workers": str(orders),
        "shipping workers": str(shipping),
        "Temporal server, cores": _number(_cores(second, costs.temporal)),
        "history shards": str(_shards(second * costs.updates)),
        "partitions of `orders-tq`": str(
            max(LEAST_PARTITIONS, math.ceil(second * costs.orders_tasks / TASKS_PER_PARTITION))
        ),
        "Temporal's histories for 3 days, GiB": _number(rate * _RETENTION_HOURS * costs.history_kib / 2**20),
        "Postgres, cores": _number(_cores(second, costs.postgres)),
        "Postgres, commits a second": _number(second * costs.round_trips),
        "Postgres, WAL MiB a second": _number(second * costs.wal_kib / 1024),
        "Postgres, GiB a month": _number(rate * _MONTH_HOURS * costs.record_kib / 2**20),
        "Postgres, connections at most": str((orders + shipping) * POOL + (operators + API_PODS) * (POOL + 1)),
        "operators": str(operators),
        "API server, writes a second": _number(second * (1 + costs.patches + costs.events)),
    }


def table(rates: tuple[int, ...], costs: Costs) -> str:
    """The needs of several rates as a Markdown table."""
    columns = [needs(rate, costs) for rate in rates]
    heads = [f"{rate:,} an hour" for rate in rates]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(rates)}"]
    lines += [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
    return "\n".join(lines)


def levels(rows: list[dict[str, float]], columns: dict[str, str]) -> str:
    """A measurement at several numbers of orders as a Markdown table."""
    lines = [f"| {' | '.join(columns.values())} |", f"|{'---:|' * len(columns)}"]
    cells = [[f"{row[key]:,}" if isinstance(row[key], int) else _number(row[key]) for key in columns] for row in rows]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines)


def written(page: str, measured: dict[str, Any]) -> str:
    """The page with its tables renewed."""
    made = table(USUAL_RATES, Costs(**measured["costs"]))
    page = _between(page, BEGIN, made)
    for name, columns in LEVELS.items():
        page = _between(page, f"<!-- measured: {name} -->", levels(measured[name], columns))
    return page


def _between(page: str, begin: str, made: str) -> str:
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{made}\n\n{END}{rest.split(END, 1)[1]}"


def _cores(second: float, milliseconds: float) -> float:
    return second * milliseconds / 1000 / FILL


def _processes(second: float, milliseconds: float, provider_seconds: float) -> int:
    """Processes of one core each, with a slot per provider call; at least two, so that one may fail."""
    return max(2, math.ceil(_cores(second, milliseconds)), math.ceil(second * provider_seconds / SLOTS / FILL))


def _operators(second: float, costs: Costs) -> int:
    """Operators of one core each, of which each spends a part on the changes of all orders."""
    left = FILL - second * costs.round_trips * costs.change_received / 1000
    if left <= 0:
        msg = "operators spend all of a core on each other's changes: split the orders over several databases"
        raise ValueError(msg)
    return max(1, math.ceil(second * costs.operator / 1000 / left))


def _shards(updates: float) -> int:
    wanted = max(math.ceil(updates / UPDATES_PER_SHARD), LEAST_SHARDS)
    return int(2 ** math.ceil(math.log2(wanted)))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"  # noqa: PLR2004


def main(arguments: list[str]) -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description="What a number of orders an hour needs.")
    parser.add_argument("rates", nargs="*", type=int, help="orders an hour")
    parser.add_argument("--run", type=_json, help="JSON of `make bench`")
    parser.add_argument("--orders-run", type=_json, help="JSON of `make bench-orders`, with --waiting")
    parser.add_argument("--fleet-run", type=_json, help="JSON of `make bench-fleet`")
    parser.add_argument("--waiting-run", type=_json, help="JSON of `make bench-waiting`")
    parser.add_argument("--write", action="store_true", help="store the figures and renew deploy/docs/performance.md")
    options = parser.parse_args(arguments)
    measured = json.loads(MEASURED.read_text())
    costs = Costs(**measured["costs"])
    if options.run:
        costs = costs.of_run(options.run)
    if options.orders_run:
        costs = costs.of_orders_run(options.orders_run)
        measured["operator"] = options.orders_run.get("waiting_levels", measured["operator"])
    if options.fleet_run:
        measured["fleets"] = options.fleet_run["fleets"]
    if options.waiting_run:
        measured["waiting"] = options.waiting_run["waited_levels"]
    if options.write:
        measured["costs"] = {
            name: round(value, 2) for name, value in asdict(costs).items() if name in measured["costs"]
        }
        MEASURED.write_text(f"{json.dumps(measured, indent=1)}\n")
        PAGE.write_text(written(PAGE.read_text(), measured))
    else:
        sys.stdout.write(f"{table(tuple(options.rates) or USUAL_RATES, costs)}\n")


def _json(path: str) -> Any:
    return json.loads(Path(path).read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
