"""The performance page has the tables of its script, and the script uses the measurements."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orderfleet.settings import Settings
from orderfleet_local.stack import paths

SCRIPT = paths.checkout() / "deploy" / "tools" / "capacity.py"
spec = importlib.util.spec_from_file_location("capacity", SCRIPT)
assert spec is not None
assert spec.loader is not None
capacity = importlib.util.module_from_spec(spec)
sys.modules["capacity"] = capacity
spec.loader.exec_module(capacity)

MEASURED = json.loads(capacity.MEASURED.read_text())
COSTS = capacity.Costs(**MEASURED["costs"])


def test_page_has_the_current_tables() -> None:
    page = capacity.PAGE.read_text()
    assert capacity.written(page, MEASURED) == page, "run deploy/tools/capacity.py --write"


def test_model_uses_the_default_settings() -> None:
    fields = Settings.model_fields
    assert fields["worker_activity_slots"].default == capacity.SLOTS
    assert fields["database_pool_size"].default == capacity.POOL


def test_ten_times_the_orders_need_ten_times_the_cores() -> None:
    few, many = (capacity.needs(rate, COSTS) for rate in (1_000_000, 10_000_000))
    assert float(many["Temporal server, cores"]) == pytest.approx(10 * float(few["Temporal server, cores"]), rel=0.1)
    assert int(many["order workers"]) == pytest.approx(10 * int(few["order workers"]), rel=0.1)


def test_slow_provider_needs_more_workers() -> None:
    slow = replace(COSTS, provider_seconds=60)
    assert int(capacity.needs(100_000, slow)["order workers"]) > int(capacity.needs(100_000, COSTS)["order workers"])


def test_costs_are_read_from_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = {"cpu_workers": 420.0, "cpu_temporal": 890.0, "cpu_postgres": 50.0, "round_trips": 70.0}
    run, orders = tmp_path / "run.json", tmp_path / "orders.json"
    run.write_text(json.dumps({"rounds": [{"Orderfleet": ours}]}))
    orders.write_text(json.dumps({"operator_cpu": 350.0, "writes_approved": 41.0}))
    costs = COSTS.of_run(json.loads(run.read_text())).of_orders_run(json.loads(orders.read_text()))
    assert costs.orders_worker + costs.shipping_worker == pytest.approx(420)
    capacity.main(["100000", "--run", str(run), "--orders-run", str(orders)])
    assert capsys.readouterr().out == f"{capacity.table((100_000,), costs)}\n"


def test_measurements_are_stored_and_written_into_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEASURED", "PAGE"):
        copy = tmp_path / getattr(capacity, name).name
        copy.write_text(getattr(capacity, name).read_text())
        monkeypatch.setattr(capacity, name, copy)
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"fleets": [{"workers": 64, "rate": 640, "cpu": 20, "machine": 0.5}]}))
    capacity.main(["--fleet-run", str(fleet), "--write"])
    assert "| 64 | 640 | 20 | 0.5 |" in capacity.PAGE.read_text()
    kept = json.loads(capacity.MEASURED.read_text())
    assert kept["fleets"][0]["rate"] == 640
    assert kept["costs"] == MEASURED["costs"]


def test_operators_that_share_orders_each_receive_all_changes() -> None:
    free = replace(COSTS, change_received=0)
    assert int(capacity.needs(1_000_000, COSTS)["operators"]) >= int(capacity.needs(1_000_000, free)["operators"]) > 1
    with pytest.raises(ValueError, match="split the orders over several databases"):
        capacity.needs(100_000_000, COSTS)
