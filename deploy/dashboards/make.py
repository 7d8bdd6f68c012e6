"""`python deploy/dashboards/make.py` writes each dashboard into its folder, as JSON that Grafana imports."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from operator_page import PAGE as OPERATOR
from orders_page import PAGE as ORDERS
from panels import page
from retries_page import PAGE as RETRIES
from workers_page import PAGE as WORKERS

PAGES = (ORDERS, RETRIES, WORKERS, OPERATOR)


def generated() -> dict[str, str]:
    """The text of each file by name."""
    return {f"{each.uid}.json": JSONEncoder(sort_keys=True, indent=2).encode(page(each)) + "\n" for each in PAGES}


if __name__ == "__main__":
    for name, text in generated().items():
        (Path(__file__).parent / name).write_text(text)
