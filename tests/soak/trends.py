"""Whether a measured thing stays where it is, fills up or grows: a line through its samples, and the verdict.

`soak` judges with it. It is pure; it must never be told what it measures.

The line is that of Theil and Sen (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"): the
median of the slopes between all pairs of points, which single outliers don't move. Its points are medians of
equal stretches of time, because samples that follow each other closely are no news of each other.
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
"""A second half that rises less than this part of what the first half did is one that fills up."""

Sample = tuple[float, float]
"""Seconds since the load began, and the value."""


class TrendKind(StrEnum):
    """What a measured thing does under a steady load."""

    FLAT = "flat"
    FILLS = "fills"
    """It rose and comes to rest, as a cache does."""
    GROWS = "GROWS"


@dataclass(frozen=True)
class Slope:
    """Rise a second, with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trend:
    """What became of one measured thing after the warm-up."""

    start: float
    end: float
    slope: Slope
    kind: TrendKind


def trend(samples: Sequence[Sample], tolerance: float) -> Trend:
    """Judge samples that were taken after the warm-up.

    Args:
        samples: in the order of time.
        notable: what it may rise by over all of them without a word.

    Raises:
        ValueError: there are fewer samples than stretches.
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
    """The slope of the line through the points; each must have a time of its own."""
    slopes = sorted((late - early) / (then - first) for (first, early), (then, late) in combinations(points, 2))
    count, pairs = len(points), len(slopes)
    spread = _NORMAL_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low, high = math.floor((pairs - spread) / 2), math.ceil((pairs + spread) / 2)
    return Slope(median(slopes), slopes[max(low, 0)], slopes[min(high, pairs - 1)])


def _bucket_medians(samples: Sequence[Sample]) -> list[Sample]:
    cuts = [len(samples) * number // BUCKETS for number in range(BUCKETS + 1)]
    parts = [samples[begin:end] for begin, end in pairwise(cuts)]
    return [(median(at for at, _ in part), median(value for _, value in part)) for part in parts]
