"""Queries that panels share: rates, quantiles, and the labels that the variables choose by."""

from __future__ import annotations

from panels import Query

QUEUE = 'namespace=~"$namespace",task_queue=~"$queue"'
"""Labels of the SDK's metrics that belong to a queue."""
VERSIONED = '* on (instance) group_left (version) orderfleet_build_info{version=~"$version"}'
"""Joins a process' own metrics with the version that it runs."""


def rate(counter: str, *by: str, where: str = "") -> str:
    """Events a second, summed over processes."""
    return f"sum by ({', '.join(by)}) (rate({counter}{{{where}}}[$__rate_interval]))"


def quantiles(histogram: str, *by: str, where: str = "") -> list[Query]:
    """p50, p95 and p99."""
    labels = ", ".join((*by, "le"))
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        Query(
            f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{where}}}[$__rate_interval])))",
            f"p{round(share * 100)} {legend}".strip(),
        )
        for share in (0.5, 0.95, 0.99)
    ]


def per(counter: str, other: str) -> str:
    """How much of one comes with one of the other."""
    return f"{rate(counter)} / {rate(other)}"
