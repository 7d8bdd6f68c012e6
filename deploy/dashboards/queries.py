"""Queries of several panels: rates, quantiles, and the labels that variables select."""

from __future__ import annotations

from panels import Query

QUEUE = 'namespace=~"$namespace",task_queue=~"$queue"'
"""Labels of the SDK's metrics that belong to a queue."""
VERSIONED = '* on (instance) group_left (version) orderfleet_build_info{version=~"$version"}'
"""Joins a process' metrics with its version."""


def rate(counter: str, *by: str, where: str = "") -> str:
    """Events per second of all processes; for the product's metrics, of those with the selected version."""
    return f"sum by ({', '.join(by)}) ({_each(counter, where)})"


def _each(counter: str, where: str) -> str:
    raised = f"rate({counter}{{{where}}}[$__rate_interval])"
    # The SDK's metrics have their own port, and so their own instance.
    return f"{raised} {VERSIONED}" if counter.startswith("orderfleet_") else raised


def quantiles(histogram: str, *by: str, where: str = "") -> list[Query]:
    """p50, p95 and p99."""
    labels = ", ".join((*by, "le"))
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        Query(
            f"histogram_quantile({share}, sum by ({labels}) ({_each(f'{histogram}_bucket', where)}))",
            f"p{round(share * 100)} {legend}".strip(),
        )
        for share in (0.5, 0.95, 0.99)
    ]


def per(counter: str, other: str) -> str:
    """One rate divided by another."""
    return f"{rate(counter)} / {rate(other)}"


def late(window: str) -> str:
    """Share of the orders that ended in the window and failed or shipped late, as the alerts compute it."""
    base = "orderfleet_order_duration_seconds"
    in_time = f'{base}_bucket{{outcome="shipped",le="86400.0"}}[{window}]'
    delivered = f'{base}_count{{outcome="delivered"}}[{window}]'
    return (
        f"1 - ((sum(rate({in_time})) or vector(0)) + (sum(rate({delivered})) or vector(0)))"
        f' / sum(rate({base}_count{{outcome!="canceled"}}[{window}]))'
    )


def errors(window: str) -> str:
    """Share of the API's answers in the window that are 5xx, as the alerts compute it."""
    counted = "orderfleet_api_request_duration_seconds_count"
    return f'(sum(rate({counted}{{status=~"5.."}}[{window}])) or vector(0)) / sum(rate({counted}[{window}]))'
