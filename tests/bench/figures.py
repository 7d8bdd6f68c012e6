"""The figures of a run: names, units and goals, medians over its rounds, and ratios within a round.

A run is plain data, like its JSON: values by name for each round and contender. Ratios are computed within a round,
because the machine may be busier in the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

Values = dict[str, Any]
"""Values of one contender in one round, by name; `alone_times` is a list in milliseconds."""

BASELINE, PRODUCT = "empty fleet", "Orderfleet"


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    `goal` and `stretch` bound the ratio, or the product's own value if `absolute`.
    """

    name: str
    label: str
    unit: str = ""
    more_is_better: bool = False
    goal: float | None = None
    stretch: float | None = None
    absolute: bool = False

    def met(self, value: float) -> bool | None:
        """Whether a value meets the goal; None without one."""
        if self.goal is None:
            return None
        return value >= self.goal if self.more_is_better else value <= self.goal


FIGURES = (
    Figure("rate_50", "orders per second, 50 at once", more_is_better=True, goal=1.0, stretch=1.3),
    Figure("rate_200", "orders per second, 200 at once", more_is_better=True, goal=1.0, stretch=1.3),
    Figure("alone_p50", "one order alone, p50", "ms", goal=1.2, stretch=0.8),
    Figure("alone_p99", "one order alone, p99", "ms"),
    Figure("cpu_workers", "CPU per order: workers", "ms", goal=1.5, stretch=1.1),
    Figure("cpu_temporal", "CPU per order: Temporal", "ms"),
    Figure("cpu_postgres", "CPU per order: Postgres", "ms"),
    Figure("cpu_client", "CPU per order: client", "ms"),
    Figure("events", "history events per order"),
    Figure("tasks", "workflow tasks per order"),
    Figure("round_trips", "Postgres round trips per order", goal=9.0, stretch=7.0, absolute=True),
    Figure("memory", "memory of the workers", "MiB"),
)

ORDERS_FIGURES = (
    Figure("accepted_to_started_p50", "Order accepted to workflow started, p50", "ms", goal=50, stretch=20),
    Figure("accepted_to_started_p99", "Order accepted to workflow started, p99", "ms", goal=200, stretch=100),
    Figure("recorded_to_status_p50", "end recorded to end in .status, p50", "ms", goal=100, stretch=50),
    Figure("recorded_to_status_p99", "end recorded to end in .status, p99", "ms", goal=300, stretch=150),
    Figure("writes_approved", "operator's writes per Order, approved at creation", goal=6, stretch=5),
    Figure("writes_reviewed", "operator's writes per Order, reviewed", goal=9, stretch=7),
    Figure("together", "Orders applied at once, until shipped in .status ÷ started by client", goal=1.3, stretch=1.1),
    Figure("operator_cpu", "CPU per Order: operator", "ms"),
    Figure("operator_memory", "memory of the operator", "MiB"),
)

FINISHED_FIGURES = (
    Figure("finished_start", "operator's start to a new Order handled, finished ones present", "s", goal=10, stretch=3),
    Figure("finished_memory", "memory of the operator then", "MiB", goal=250, stretch=120),
    Figure("finished_cpu", "CPU seconds of the operator's start", "s"),
)
WAITING_START_FIGURES = (
    Figure("waiting_start", "operator's start to a new Order handled, listed after all waiting ones", "s"),
    Figure("waiting_memory", "memory of the operator then", "MiB"),
    Figure("waiting_cpu", "CPU seconds of the operator's start", "s"),
    Figure("waiting_cpu_each", "CPU of the start per waiting Order", "ms"),
    Figure("waiting_memory_each", "memory per waiting Order", "KiB"),
    Figure("waiting_writes_each", "writes of the start per waiting Order"),
    Figure("waiting_new_alone", "CPU of the operator per new Order, none waiting", "ms"),
    Figure("waiting_new", "CPU of the operator per new Order, all waiting", "ms"),
)

STORE_FIGURES = (
    Figure("crowded_rate", "orders per second ÷ in an empty order store", more_is_better=True, goal=0.9, stretch=0.97),
    Figure("crowded_buffers", "additional buffers, worst statement", goal=2, stretch=2),
    Figure(
        "stock_rate", "reservations a second of one SKU, 20 in a call", more_is_better=True, goal=1000, stretch=2000
    ),
    Figure("stock_cpu", "CPU of Postgres for each", "ms"),
    Figure("stock_single", "reservations a second, one in a call", more_is_better=True),
    Figure("stock_single_cpu", "CPU of Postgres for each of these", "ms"),
    Figure("stock_crowded", "reservations a second ÷ without past ones", more_is_better=True, goal=0.9, stretch=0.97),
    Figure("stock_crowded_cpu", "CPU for each ÷ without past ones", goal=1.1, stretch=1.03),
)
WORKERS_FIGURES = (
    Figure("two_to_one", "orders per second, 2 order workers ÷ 1", more_is_better=True, goal=1.8, stretch=1.95),
    Figure("start_to_first_task", "worker's start to its first task", "s", goal=2, stretch=1),
)
FLEET_FIGURES = (
    Figure("flat_out", "orders a second of one worker process, maximum", more_is_better=True),
    Figure("flat_out_cpu", "its CPU per order", "ms"),
    Figure("fleet_workers", "most workers"),
    Figure("fleet_one", "orders a second with 1 worker, bound by its slots", more_is_better=True),
    Figure("fleet_rate", "orders a second with the most workers", more_is_better=True),
    Figure("fleet_scales", "orders a second and worker ÷ with 1 worker", more_is_better=True),
    Figure("fleet_cpu", "CPU of the workers per order ÷ with 1 worker"),
    Figure("fleet_server_one", "1 worker against the real server", more_is_better=True),
    Figure("fleet_server_two", "2 workers against the real server", more_is_better=True),
)
WAITING_ORDERS_FIGURES = (
    Figure("waited_memory_each", "memory of the workers per waiting order", "KiB"),
    Figure("waited_temporal_each", "memory of Temporal's dev server per waiting order", "KiB"),
    Figure("waited_rate", "orders a second ÷ with none waiting", more_is_better=True),
    Figure("waited_alone", "one order alone, p50 ÷ with none waiting"),
    Figure("waited_cpu_workers", "CPU of the workers per order ÷ with none waiting"),
    Figure("waited_cpu_temporal", "CPU of Temporal per order ÷ with none waiting"),
    Figure("waited_cpu_postgres", "CPU of Postgres per order ÷ with none waiting"),
)


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of the rounds."""

    median: float
    minimum: float
    maximum: float


def spread(run: dict[str, Any], contender: str, figure: Figure) -> Spread:
    """One figure of one contender over the rounds."""
    return _spread([value(each[contender], figure) for each in run["rounds"]])


def ratio(run: dict[str, Any], figure: Figure) -> Spread | None:
    """Product ÷ baseline, round by round; None if the baseline lacks the figure."""
    pairs = [(value(each[PRODUCT], figure), value(each[BASELINE], figure)) for each in run["rounds"]]
    return _spread([ours / theirs for ours, theirs in pairs]) if all(theirs for _, theirs in pairs) else None


def value(values: Values, figure: Figure) -> float:
    """One figure of one round."""
    if figure.name.startswith("alone_"):
        return percentile(values["alone_times"], int(figure.name.removeprefix("alone_p")))
    return float(values[figure.name])


def percentile(values: list[float], percent: int) -> float:
    """The nearest-rank percentile, which is a measured value."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]


def _spread(values: list[float]) -> Spread:
    return Spread(median(values), min(values), max(values))
