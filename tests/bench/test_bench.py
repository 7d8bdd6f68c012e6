"""The benchmark itself: a run of a few orders measures everything, and two runs can be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import figures

# Each has a whole stack at work: beside the demos, which have one too, both would wait for a core.
pytestmark = pytest.mark.xdist_group("demo")

BENCH = Path(__file__).with_name("bench.py")


def bench(*words: str) -> str:
    done = subprocess.run((sys.executable, str(BENCH), *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made(**product: Any) -> dict[str, Any]:
    values = {figure.name: 2.0 for figure in figures.FIGURES} | {"alone_times": [10.0, 30.0, 20.0]}
    one = {figures.YARDSTICK: values, figures.PRODUCT: {**values, **product}}
    return {"at": "then", "commit": "c", "cores": 2, "rounds": [one]}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_small_run_measures_every_figure_and_is_compared_with_itself(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    told = bench("run", "--rounds", "1", "--orders", "4", "--alone", "3", "--out", str(out))
    run = json.loads(out.read_text())
    ours = run["rounds"][0][figures.PRODUCT]
    for figure in figures.FIGURES:
        assert figure.told in told
        assert figures.value(ours, figure) > 0
    assert figures.spread(run, figures.YARDSTICK, figures.FIGURES[0]).median > 0
    assert "B ÷ A" in bench("compare", str(out), str(out))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_few_orders_in_kubernetes_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "orders.json"
    told = bench(
        *("orders", "--alone", "2", "--together", "3", "--finished", "3", "--waiting", "20", "--out", str(out))
    )
    measured = json.loads(out.read_text())
    for figure in (*figures.ORDERS_FIGURES, *figures.FINISHED_FIGURES, *figures.WAITING_FIGURES):
        assert figure.told in told
        # A difference between two starts may be anything when there are so few.
        assert measured[figure.name] >= 0 or figure.name.endswith("_each")
    assert measured["waiting_writes_each"] < 0.5, "copies aren't as the operator leaves a waiting Order"
    assert [level["present"] for level in measured["waiting_levels"]] == [0, 5, 20]
    # How many depends on how soon they are told of: a slow machine coalesces less.
    assert measured["writes_approved"] > 1
    assert measured["writes_reviewed"] > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_crowded_record_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    told = bench("record", "--orders", "500", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.told in told for figure in figures.RECORD_FIGURES)
    assert len(measured["buffers_full"]) == 7


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "workers.json"
    told = bench("workers", "--rounds", "1", "--orders", "4", "--slots", "2", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.told in told and measured[figure.name] > 0 for figure in figures.WORKERS_FIGURES)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_are_measured_against_a_stub_of_the_server(tmp_path: Path) -> None:
    out = tmp_path / "fleet.json"
    told = bench("fleet", "--most", "2", "--orders", "3", "--latency", "50", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.told in told and measured[figure.name] > 0 for figure in figures.FLEET_FIGURES)
    assert [fleet["workers"] for fleet in measured["fleets"]] == [1, 2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_orders_among_waiting_ones_are_measured(tmp_path: Path) -> None:
    out = tmp_path / "waiting.json"
    told = bench("waiting", "--most", "10", "--orders", "5", "--out", str(out))
    measured = json.loads(out.read_text())
    assert all(figure.told in told for figure in figures.WAITED_FIGURES)
    assert [level["waiting"] for level in measured["waited_levels"]] == [0, 2, 10]


def test_ratios_are_taken_within_a_round() -> None:
    rate = figures.FIGURES[0]
    run = made(rate_50=4.0)
    run["rounds"] += made(rate_50=2.0)["rounds"] + made(rate_50=6.0)["rounds"]
    among = figures.ratio(run, rate)
    assert among == figures.Spread(2.0, 1.0, 3.0)
    assert rate.met(among.median)
    assert figures.ratio(made(round_trips=1.0), rate) == figures.Spread(1.0, 1.0, 1.0)


def test_percentiles_are_times_that_were_measured() -> None:
    alone = {figure.name: figure for figure in figures.FIGURES}
    run = made()
    assert figures.spread(run, figures.PRODUCT, alone["alone_p50"]).median == 20.0
    assert figures.spread(run, figures.PRODUCT, alone["alone_p99"]).median == 30.0
