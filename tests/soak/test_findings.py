"""The findings of a soak name the role and the gauge that leaks, per hour and per order."""

from __future__ import annotations

import pytest

from soak.findings import findings, load_per_minute, no_growth, text
from soak.gauges import FILES, GAUGES, MEMORY
from soak.trends import TrendKind

_SECONDS = range(0, 1200, 5)
_ORDERS = [(float(at), 3 * at) for at in _SECONDS]


def _read(**growing: float) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Two roles; the API's gauges grow by the given amounts per second."""
    steady = {gauge.name: [(float(at), 50.0) for at in _SECONDS] for gauge in GAUGES}
    grows = {name: [(float(at), 50 + rise * at) for at in _SECONDS] for name, rise in growing.items()}
    return {"operator": steady, "api": {**steady, **grows}}


def test_findings_of_level_gauges_show_no_growth() -> None:
    found = findings(_read(), _ORDERS, warm_up=300)
    assert no_growth(found)
    assert {(one.role, one.gauge) for one in found} == {(role, gauge.name) for role in _read() for gauge in GAUGES}


def test_findings_of_a_leak_show_role_and_growth_per_hour_and_order() -> None:
    found = findings(_read(**{MEMORY.name: 0.01}), _ORDERS, warm_up=300)
    assert not no_growth(found)
    (leak,) = (one for one in found if one.trend.kind is TrendKind.GROWS)
    assert (leak.role, leak.gauge) == ("api", MEMORY.name)
    assert leak.per_thousand.value == pytest.approx(0.01 * 1000 / 3)
    table = text(found, {"orders": 3600}, (180, 180))
    assert any(line.split()[0] == "api" and "+36.00" in line and "GROWS" in line for line in table.splitlines())


def test_findings_ignore_the_warm_up() -> None:
    read = _read()
    read["api"][FILES.name] = [(float(at), min(at, 250.0)) for at in _SECONDS]
    assert no_growth(findings(read, _ORDERS, warm_up=300))


def test_findings_without_orders_raise_an_error() -> None:
    with pytest.raises(ValueError, match="no order"):
        findings(_read(), [(float(at), 7) for at in _SECONDS], warm_up=300)


def test_table_of_an_uneven_load_says_so() -> None:
    found = findings(_read(), _ORDERS, warm_up=300)
    assert load_per_minute(_ORDERS, warm_up=300) == pytest.approx((180, 180))
    assert "uneven" not in text(found, {}, load_per_minute(_ORDERS, warm_up=300))
    slow_at_first = [(at, count if at < 750 else 3 * count - 4500) for at, count in _ORDERS]
    assert "uneven" in text(found, {}, load_per_minute(slow_at_first, warm_up=300))
