"""Metrics in tests: those that a block adds in this process, and those that another process exposes."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from orderfleet.observability.metrics import CATALOG

Sample = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Samples:
    """Values of samples by name and labels."""

    values: dict[Sample, float] = field(default_factory=dict)

    def __call__(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name with these labels; a sample may have other labels too."""
        wanted = set(labels.items())
        return sum(value for (sample, present), value in self.values.items() if sample == name and wanted <= present)

    def names(self) -> set[str]:
        return {name for name, _ in self.values}

    def labels(self, name: str, label: str) -> set[str]:
        """Values of a label in the samples of that name."""
        return {dict(present)[label] for sample, present in self.values if sample == name and label in dict(present)}


@contextmanager
def metric_changes() -> Iterator[Samples]:
    """The change of each of the product's metrics inside the block; filled when the block ends."""
    before, result = _current(), Samples()
    yield result
    after = _current()
    result.values = {key: value - before.get(key, 0.0) for key, value in after.items() if value != before.get(key, 0.0)}


def scrape(url: str) -> Samples:
    """The samples that a process exposes at `url`."""
    with urllib.request.urlopen(url, timeout=60) as response:
        text = response.read().decode()
    return Samples(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


def _current() -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for spec in CATALOG
        for family in spec.metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
