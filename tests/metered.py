"""Reads metrics: of this process, as what a block of a test added; of another, as Prometheus scrapes it."""

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
    """Samples by name and labels."""

    values: dict[Sample, float] = field(default_factory=dict)

    def __call__(self, name: str, **labels: str) -> float:
        """Sum of the samples of that name that carry these labels, whatever else they carry."""
        wanted = set(labels.items())
        return sum(value for (found, given), value in self.values.items() if found == name and wanted <= given)

    def names(self) -> set[str]:
        return {name for name, _ in self.values}

    def labels(self, name: str, label: str) -> set[str]:
        """Values of a label."""
        return {dict(given)[label] for found, given in self.values if found == name and label in dict(given)}


@contextmanager
def added() -> Iterator[Samples]:
    """What the block adds to the product's metrics in this process; filled when it ends."""
    before, result = _now(), Samples()
    yield result
    after = _now()
    result.values = {key: value - before.get(key, 0.0) for key, value in after.items() if value != before.get(key, 0.0)}


def scraped(url: str) -> Samples:
    """What a process exposes."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    return Samples(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


def _now() -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for declared in CATALOG
        for family in declared.metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
