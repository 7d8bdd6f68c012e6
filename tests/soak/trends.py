"""Whether a series of samples is flat, levels off or grows, by a line through its samples.

The line is the Theil-Sen estimator (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"): the
median of the slopes between all pairs of points, which is robust against outliers. Its points are medians of equal
stretches of time, because samples that closely follow each other are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, pairwise
from statistics import median

BUCKETS = 24
_NORMAL_95 = 1.96
_FLATTENING_RATIO = 0.5
"""A series levels off if its second half rises by less than this ratio of the first half's rise."""

Sample = tuple[float, float]
"""Seconds since the load began, and the value."""


class TrendKind(StrEnum):
    """What a quantity does under a steady load."""

    FLAT = "flat"
    FILLS = "fills"
    """It rises and levels off, as a cache does."""
    GROWS = "GROWS"


@dataclass(frozen=True)
class Slope:
    """Rise per second, with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trend:
    """The trend of one quantity after the warm-up."""

    start: float
    end: float
    slope: Slope
    kind: TrendKind


def trend(samples: Sequence[Sample], tolerance: float) -> Trend:
    """Compute the trend of samples that were taken after the warm-up.

    Args:
        samples: in order of time.
        tolerance: rise over all samples that is ignored.

    Raises:
        ValueError: there are fewer samples than buckets.
    """
    if len(samples) < BUCKETS:
        raise ValueError(f"{len(samples)} samples are too few for a trend: {BUCKETS} are needed")
    points = _bucket_medians(samples)
    half = len(points) // 2
    slope, before, after = fit_slope(points), fit_slope(points[:half]), fit_slope(points[half:])
    rise = slope.value * (points[-1][0] - points[0][0])
    # A leak shows in both halves, and as strongly in the second as in the first.
    flattens = after.low <= 0 or after.value < before.value * _FLATTENING_RATIO
    kind = TrendKind.FILLS if flattens else TrendKind.GROWS
    if slope.low <= 0 or rise <= tolerance:
        kind = TrendKind.FLAT
    return Trend(points[0][1], points[-1][1], slope, kind)


def fit_slope(points: Sequence[Sample]) -> Slope:
    """Return the slope of the line through the points, each of which has a different time."""
    slopes = sorted((late - early) / (then - first) for (first, early), (then, late) in combinations(points, 2))
    count, pairs = len(points), len(slopes)
    spread = _NORMAL_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low, high = math.floor((pairs - spread) / 2), math.ceil((pairs + spread) / 2)
    return Slope(median(slopes), slopes[max(low, 0)], slopes[min(high, pairs - 1)])


def _bucket_medians(samples: Sequence[Sample]) -> list[Sample]:
    cuts = [len(samples) * number // BUCKETS for number in range(BUCKETS + 1)]
    parts = [samples[begin:end] for begin, end in pairwise(cuts)]
    return [(median(at for at, _ in part), median(value for _, value in part)) for part in parts]
