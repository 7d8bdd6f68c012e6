"""Metrics follow Prometheus' conventions, and their page is generated from the catalog."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from orderfleet.observability.exposition import LONG_LATENCIES, SHORT_LATENCIES, expose, markdown, prometheus
from orderfleet.observability.metric_specs import Exposer, MetricSpec
from orderfleet.observability.metrics import CATALOG
from orderfleet_local.stack import paths

PAGE = paths.checkout() / "deploy" / "docs" / "metrics.md"
UNITS = ("_seconds", "_bytes", "_ratio")
COUNTS = {"orderfleet_operator_reconcile_api_calls"}
"""Histograms without a unit."""
UNBOUNDED = {"order", "order_id", "id", "uid", "workflow_id", "run_id", "path", "name", "customer", "message"}
DAY = 86400


def test_page_is_generated_from_the_catalog():
    text = PAGE.read_text()
    assert text == markdown(), "run make generate"


@pytest.mark.parametrize("declared", CATALOG, ids=lambda declared: declared.name)
def test_name_follows_the_conventions(declared: MetricSpec):
    assert declared.name.startswith("orderfleet_")
    assert declared.help.endswith(".")
    assert declared.roles
    assert (declared.kind == "counter") == declared.name.endswith("_total")
    if declared.kind == "histogram":
        assert declared.name.endswith(UNITS) or declared.name in COUNTS


@pytest.mark.parametrize("declared", CATALOG, ids=lambda declared: declared.name)
def test_labels_have_bounded_values(declared: MetricSpec):
    assert not UNBOUNDED & set(declared.labels)
    assert all(declared.labels.values()), "describe its values"


def test_names_are_unique():
    names = [declared.name for declared in CATALOG]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("role", [*Exposer, "worker"])
def test_role_exposes_only_its_metrics(role: str):
    registry = CollectorRegistry()
    expose(role, registry)
    own = {"orders-worker", "shipping-worker"} if role == "worker" else {role}
    exposed = {family.name for family in registry.collect()}
    for declared in CATALOG:
        assert (declared.name.removesuffix("_total") in exposed) == bool(own & set(declared.roles)), declared.name


def test_buckets_of_long_latencies_span_5_ms_to_30_days():
    overrides = prometheus("127.0.0.1:0").histogram_bucket_overrides
    assert overrides is not None
    for name in LONG_LATENCIES:
        assert (overrides[name][0], overrides[name][-1]) == (0.005, 30 * DAY)
    assert set(overrides) == {*LONG_LATENCIES, *SHORT_LATENCIES}


def test_names_that_the_sdk_matches_by_suffix_have_the_same_buckets():
    overrides = prometheus("127.0.0.1:0").histogram_bucket_overrides or {}
    for name in overrides:
        assert {tuple(overrides[longer]) for longer in overrides if longer.endswith(name)} == {tuple(overrides[name])}
