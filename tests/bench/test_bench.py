"""Each benchmark measures its figures with a few orders, and two runs can be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import figures
from support.programs import module_environment

# Each test runs a whole stack, as the demos do, so they run one after the other.
pytestmark = pytest.mark.xdist_group("demo")


def bench(*arguments: str) -> str:
    command = (sys.executable, "-m", "bench", *arguments)
    done = subprocess.run(command, env=module_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made(**product: Any) -> dict[str, Any]:
    values = {figure.name: 2.0 for figure in figures.FIGURES} | {"alone_times": [10.0, 30.0, 20.0]}
    one = {figures.BASELINE: values, figures.PRODUCT: {**values, **product}}
    return {"at": "then", "commit": "c", "cores": 2, "rounds": [one]}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_run_of_few_orders_measures_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    printed = bench("run", "--rounds", "1", "--orders", "4", "--alone", "3", "--out", str(out))
    run = json.loads(out.read_text())
    ours = run["rounds"][0][figures.PRODUCT]
    for figure in figures.FIGURES:
        assert figure.label in printed
        assert figures.value(ours, figure) > 0
    assert figures.spread(run, figures.BASELINE, figures.FIGURES[0]).median > 0
    assert "B ÷ A" in bench("compare", str(out), str(out))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_orders_in_kubernetes_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "orders.json"
    printed = bench(
        *("orders", "--alone", "2", "--together", "3", "--finished", "3", "--waiting", "20", "--out", str(out))
    )
    measured = json.loads(out.read_text())
    for figure in (*figures.ORDERS_FIGURES, *figures.FINISHED_FIGURES, *figures.WAITING_START_FIGURES):
        assert figure.label in printed
        # With so few Orders, a difference between two starts may be negative.
        assert measured[figure.name] >= 0 or figure.name.endswith("_each")
    assert measured["waiting_writes_each"] < 0.5, "the operator writes to copies of a waiting Order"
    assert [level["present"] for level in measured["waiting_levels"]] == [0, 5, 20]
    # The number depends on the load: the operator merges fewer writes on a slow machine.
    assert measured["writes_approved"] > 1
    assert measured["writes_reviewed"] > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_full_order_store_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "store.json"
    printed = bench("store", "--orders", "500", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.label in printed for figure in figures.STORE_FIGURES)
    assert len(measured["buffers_full"]) == 7


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "workers.json"
    printed = bench("workers", "--rounds", "1", "--orders", "4", "--slots", "2", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.label in printed and measured[figure.name] > 0 for figure in figures.WORKERS_FIGURES)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_against_the_stub_of_the_server_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "fleet.json"
    printed = bench("fleet", "--most", "2", "--orders", "3", "--latency", "50", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.label in printed and measured[figure.name] > 0 for figure in figures.FLEET_FIGURES)
    assert [fleet["workers"] for fleet in measured["fleets"]] == [1, 2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_orders_among_waiting_orders_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "waiting.json"
    printed = bench("waiting", "--most", "10", "--orders", "5", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.label in printed for figure in figures.WAITING_ORDERS_FIGURES)
    assert [level["waiting"] for level in measured["waited_levels"]] == [0, 2, 10]


def test_ratio_is_computed_within_a_round() -> None:
    rate = figures.FIGURES[0]
    run = made(rate_50=4.0)
    run["rounds"] += made(rate_50=2.0)["rounds"] + made(rate_50=6.0)["rounds"]
    among = figures.ratio(run, rate)
    assert among == figures.Spread(2.0, 1.0, 3.0)
    assert rate.met(among.median)
    assert figures.ratio(made(round_trips=1.0), rate) == figures.Spread(1.0, 1.0, 1.0)


def test_percentile_is_a_measured_time() -> None:
    alone = {figure.name: figure for figure in figures.FIGURES}
    run = made()
    assert figures.spread(run, figures.PRODUCT, alone["alone_p50"]).median == 20.0
    assert figures.spread(run, figures.PRODUCT, alone["alone_p99"]).median == 30.0
