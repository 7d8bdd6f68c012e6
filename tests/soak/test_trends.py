"""A trend detects a leak in the noise of a real process, and mistakes neither noise nor a cache for one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from soak.trends import BUCKETS, Sample, TrendKind, fit_slope, trend

_SECONDS = 1200
_EVERY = 5
_HOUR = 3600


def _samples(seed: int, shape: Callable[[float], float]) -> list[Sample]:
    """A process of 120 MiB with noise of 0.5 MiB and occasional peaks."""
    rng = random.Random(seed)
    samples = []
    for at in range(0, _SECONDS, _EVERY):
        peak = 15.0 if rng.random() < 0.05 else 0.0
        samples.append((float(at), 120 + rng.gauss(0, 0.5) + peak + shape(at)))
    return samples


@pytest.mark.parametrize("seed", range(20))
def test_trend_of_a_leak_grows_by_its_size(seed: int) -> None:
    found = trend(_samples(seed, lambda at: 6 * at / _HOUR), tolerance=1)
    assert found.kind is TrendKind.GROWS
    assert found.slope.value * _HOUR == pytest.approx(6, abs=2)


def test_interval_contains_the_leak_at_its_confidence() -> None:
    found = [trend(_samples(seed, lambda at: 6 * at / _HOUR), tolerance=1).slope for seed in range(100)]
    assert sum(slope.low * _HOUR < 6 < slope.high * _HOUR for slope in found) >= 90


@pytest.mark.parametrize("seed", range(20))
def test_trend_of_noise_with_peaks_is_flat(seed: int) -> None:
    assert trend(_samples(seed, lambda _: 0), tolerance=1).kind is TrendKind.FLAT


@pytest.mark.parametrize("seed", range(20))
def test_trend_of_waves_does_not_grow(seed: int) -> None:
    waves = _samples(seed, lambda at: 4 * math.sin(at / 60))
    assert trend(waves, tolerance=1).kind is not TrendKind.GROWS


@pytest.mark.parametrize("seed", range(20))
def test_trend_of_a_cache_fills(seed: int) -> None:
    found = trend(_samples(seed, lambda at: 10 * (1 - math.exp(-at / 200))), tolerance=1)
    assert found.kind is TrendKind.FILLS
    assert found.end - found.start > 5


@pytest.mark.parametrize("seed", range(20))
def test_trend_of_one_step_up_does_not_grow(seed: int) -> None:
    assert trend(_samples(seed, lambda at: 5.0 * (at > 500)), tolerance=1).kind is not TrendKind.GROWS


def test_trend_of_a_leak_within_tolerance_is_flat_with_its_slope() -> None:
    found = trend(_samples(1, lambda at: 2 * at / _HOUR), tolerance=1)
    assert found.kind is TrendKind.FLAT
    assert found.slope.high * _HOUR > 2


def test_trend_of_falling_samples_is_flat() -> None:
    assert trend(_samples(1, lambda at: -10 * at / _HOUR), tolerance=1).kind is TrendKind.FLAT


def test_trend_of_a_constant_has_no_slope() -> None:
    found = trend([(float(at), 12.0) for at in range(100)], tolerance=1)
    assert (found.start, found.end, found.slope.value, found.kind) == (12, 12, 0, TrendKind.FLAT)


def test_slope_with_an_outlier_is_unchanged() -> None:
    points = [(float(at), 2.0 * at) for at in range(20)]
    points[7] = (7.0, 1000.0)
    assert fit_slope(points).value == pytest.approx(2)


def test_trend_of_too_few_samples_raises_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        trend([(float(at), 1.0) for at in range(BUCKETS - 1)], tolerance=1)
