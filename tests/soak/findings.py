"""The result of a soak: each gauge of each role with its trend, also as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soak.gauges import GAUGES
from soak.trends import Sample, Slope, Trend, TrendKind, trend

_MINUTE, _HOUR = 60, 3600
_THOUSAND = 1000
_MAX_IMBALANCE = 1.5
"""Highest ratio between the orders of the two halves."""


@dataclass(frozen=True)
class Finding:
    """One gauge of one role."""

    role: str
    gauge: str
    trend: Trend
    per_thousand: Slope
    """The slope per 1,000 orders instead of per second."""


def findings(
    samples: Mapping[str, Mapping[str, Sequence[Sample]]], orders: Sequence[tuple[float, int]], warm_up: float
) -> list[Finding]:
    """Compute the trend of every gauge after the warm-up.

    Args:
        samples: by role and gauge.
        orders: seconds since the load began, and the orders that had ended by then.
        warm_up: seconds to ignore.

    Raises:
        ValueError: there are too few samples, or no order ended.
    """
    late = [(at, count) for at, count in orders if at >= warm_up]
    if len(late) < 2 or late[-1][1] == late[0][1]:
        raise ValueError("no order ended after the warm-up; run longer")
    a_second = (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0])
    found = []
    for role, by_gauge in samples.items():
        for gauge in (gauge for gauge in GAUGES if gauge.name in by_gauge):
            checked = trend([sample for sample in by_gauge[gauge.name] if sample[0] >= warm_up], gauge.tolerance)
            slope = checked.slope
            scale = _THOUSAND / a_second
            by_orders = Slope(slope.value * scale, slope.low * scale, slope.high * scale)
            found.append(Finding(role, gauge.name, checked, by_orders))
    return found


def load_per_minute(orders: Sequence[tuple[float, int]], warm_up: float) -> tuple[float, float]:
    """Return the orders per minute in the first and in the second half after the warm-up."""
    late = [(at, count) for at, count in orders if at >= warm_up]
    (begin, none), (middle, some), (end, every) = late[0], late[len(late) // 2], late[-1]
    return (some - none) / (middle - begin) * _MINUTE, (every - some) / (end - middle) * _MINUTE


def text(found: Sequence[Finding], done: Mapping[str, int], halves: tuple[float, float]) -> str:
    """Return the findings as a table, with the load below it."""
    lines = [f"{'':16} {'':22} {'start':>8} {'end':>8}   {'an hour':>24}   {'1,000 orders':>24}"]
    for one in found:
        values = f"{one.trend.start:8.1f} {one.trend.end:8.1f}   {_format_slope(one.trend.slope, _HOUR):>24}"
        lines.append(
            f"{one.role:16} {one.gauge:22} {values}   {_format_slope(one.per_thousand, 1):>24}   {one.trend.kind}"
        )
    load = ", ".join(f"{count} {name}" for name, count in sorted(done.items(), key=lambda item: -item[1]))
    uneven = "" if max(halves) < min(halves) * _MAX_IMBALANCE else "; too uneven to detect a leak"
    steady = f"{halves[0]:.0f} orders a minute in the first half, {halves[1]:.0f} in the second{uneven}"
    return "\n".join([*lines, "", "slopes with their 95 % interval", steady, f"load: {load}"])


def no_growth(found: Sequence[Finding]) -> bool:
    """Return whether no gauge grows."""
    return all(one.trend.kind is not TrendKind.GROWS for one in found)


def _format_slope(slope: Slope, scale: float) -> str:
    return f"{slope.value * scale:+.2f} ({slope.low * scale:+.2f} to {slope.high * scale:+.2f})"
