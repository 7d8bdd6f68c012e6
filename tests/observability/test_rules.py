"""Each alert is quiet just below its threshold and fires just above it, as promtool evaluates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from orderfleet_local.stack import paths
from support.prometheus_programs import program

RULES = paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"
Series = dict[str, str]
Counters = dict[str, float]
"""Increase of each counter per sample."""
CALM: Series = {}


@dataclass(frozen=True)
class Case:
    """Series for which an alert is quiet, and series for which it fires; sampled each `interval` minutes."""

    alert: str
    quiet: Series
    fires: Series
    minutes: int = 20
    interval: int = 1


def steady(value: float) -> str:
    return f"{value}x90"


def rising(*phases: tuple[float, int]) -> str:
    """A counter; each phase is its increase per sample and a number of samples."""
    text, value = [], 0.0
    for a_sample, samples in phases:
        text.append(f"{value + a_sample:.6f}+{a_sample:.6f}x{samples - 1}")
        value += a_sample * samples
    return " ".join(text)


def rising_by(a_minute: float) -> str:
    return rising((a_minute, 91))


def always(**series: float) -> Series:
    return {name: steady(value) for name, value in series.items()}


def age(status: str, seconds: float) -> Series:
    return {f'orderfleet_open_payment_oldest_seconds{{status="{status}"}}': steady(seconds)}


def held(hold: str, seconds: float) -> Series:
    return {f'orderfleet_held_order_oldest_seconds{{hold="{hold}"}}': steady(seconds)}


def pollers(orders: float, shipping: float) -> Series:
    return {
        f'temporal_num_pollers{{task_queue="{queue}",poller_type="workflow_task"}}': steady(count)
        for queue, count in (("orders-tq", orders), ("shipping-tq", shipping))
    }


def failing(error: str, failures: float) -> Series:
    return {
        'orderfleet_step_attempts_total{activity="charge",kind="regular"}': rising_by(100),
        f'orderfleet_step_failures_total{{activity="charge",error="{error}"}}': rising_by(failures),
    }


def schedule_to_start(within_5s: float) -> Series:
    name = 'temporal_activity_schedule_to_start_latency_seconds_bucket{task_queue="orders-tq",le='
    return {
        f'{name}"5.0"}}': rising_by(within_5s),
        f'{name}"10.0"}}': rising_by(100),
        f'{name}"+Inf"}}': rising_by(100),
    }


def api(errors: float) -> Counters:
    """10,000 requests, of which `errors` fail."""
    name = "orderfleet_api_request_duration_seconds_count"
    return {f'{name}{{status="200"}}': 10000 - errors, f'{name}{{status="503"}}': errors}


def orders(late: float) -> Counters:
    """1,000 ended orders, of which `late` are late or failed, half each."""
    base = "orderfleet_order_duration_seconds"
    return {
        f'{base}_bucket{{outcome="shipped",le="86400.0"}}': 900 - late,
        f'{base}_count{{outcome="shipped"}}': 900 - late / 2,
        f'{base}_count{{outcome="failed"}}': late / 2,
        f'{base}_count{{outcome="delivered"}}': 100,
        f'{base}_count{{outcome="canceled"}}': 5000,
    }


def over(counters: Callable[[float], Counters], *phases: tuple[float, int]) -> Series:
    """The counters over phases; each is a number of bad events per sample and a number of samples."""
    return {name: rising(*((counters(bad)[name], samples) for bad, samples in phases)) for name in counters(0)}


def operator(depth: float, reconciles: float, instance: str = "one") -> Series:
    here = f'instance="{instance}"'
    return {
        f'orderfleet_build_info{{{here},role="operator"}}': steady(1),
        f"orderfleet_operator_queue_depth{{{here}}}": steady(depth),
        f'orderfleet_operator_reconciles_total{{{here},result="ok"}}': rising_by(reconciles),
        f'orderfleet_operator_reconciles_total{{{here},result="error"}}': rising_by(7),
    }


def pool(waiting: float, in_use: float) -> Series:
    return always(
        orderfleet_database_pool_waiting=waiting,
        orderfleet_database_pool_in_use=in_use,
        orderfleet_database_pool_size=10,
    )


def request_failures(code: str, a_minute: float) -> Series:
    return {f'temporal_request_failure_total{{operation="X",status_code="{code}"}}': rising_by(a_minute)}


def resource_exhausted(namespace: str, a_minute: float) -> Series:
    return {f'service_errors_resource_exhausted{{operation="X",namespace="{namespace}"}}': rising_by(a_minute)}


def sweep_completed(at: float) -> Series:
    """The last sweep completed at this time in one worker; another has run none."""
    name = "orderfleet_orphan_sweep_last_completed_timestamp_seconds"
    return {f'{name}{{instance="one"}}': steady(at), f'{name}{{instance="two"}}': steady(0)}


def differences(safe: float, unsafe: float) -> Series:
    """Open differences, which two operators export."""
    name = 'orderfleet_payment_differences{instance="%s",kind="charged_twice",repair="%s"}'
    counts = {"automatic": safe, "manual": unsafe}
    return {name % (each, repair): steady(count) for each in ("one", "two") for repair, count in counts.items()}


def reconciled(at: float) -> Series:
    """The last reconciliation was completed at this time; 0 before the first one."""
    return {"orderfleet_reconciliation_last_completed_timestamp_seconds": f"{at}x200"}


NOT_DETERMINED = 'temporal_workflow_task_execution_failed_total{workflow_type="OrderWorkflow",failure_reason="%s"}'
BACKLOG = 'orderfleet_queue_backlog_age_seconds{task_queue="orders-tq",kind="activity"}'
AT_RECEIVE = 'orderfleet_open_order_oldest_seconds{step="%s"}'
OVERDUE = 'orderfleet_overdue_order_oldest_seconds{step="charge"}'


HOUR = 60


def burning(alert: str, counters: Callable[[float], Counters]) -> list[Case]:
    """Cases for each pair of windows of the SRE workbook.

    Just below and just above the threshold in the long window; and quiet if only one of both windows is far above it.
    """

    def case(quiet: list[tuple[float, int]], fires: list[tuple[float, int]], pause: int = 1, name: str = alert) -> Case:
        minutes = pause * sum(samples for _, samples in fires) - 1
        return Case(name, over(counters, *quiet), over(counters, *fires), minutes, pause)

    calm, slowly = (0, 6 * HOUR), f"{alert}Slowly"
    return [
        # 14.4 times the budget: an hour and 5 minutes.
        case([calm, (143.9, 66)], [calm, (144.1, 66)]),
        case([calm, (300, 55), (0, 8)], [calm, (300, 55), (300, 8)]),
        case([calm, (800, 8)], [calm, (800, 13)]),
        # 6 times: 6 hours and 30 minutes.
        case([(59.9, 7 * HOUR)], [(60.1, 7 * HOUR)]),
        case([(100, 6 * HOUR), (0, 35)], [(100, 6 * HOUR), (100, 35)]),
        # The budget itself: 3 days and 6 hours, with a sample each 4 minutes.
        case([(9.9, 19 * HOUR)], [(10.1, 19 * HOUR)], 4, slowly),
        case([(20, 17 * HOUR), (0, 2 * HOUR)], [(20, 17 * HOUR), (20, 2 * HOUR)], 4, slowly),
    ]


CASES = [
    Case("OrderfleetNoPollers", pollers(1, 1), pollers(1, 0)),
    Case("OrderfleetBacklogOld", {BACKLOG: steady(60)}, {BACKLOG: steady(61)}),
    Case("OrderfleetScheduleToStartSlow", schedule_to_start(95), schedule_to_start(94)),
    Case("OrderfleetStepFailing", failing("ProviderUnavailable", 25), failing("ProviderUnavailable", 26)),
    Case("OrderfleetOrdersNotMoving", {AT_RECEIVE % "receive": steady(600)}, {AT_RECEIVE % "validate": steady(601)}),
    Case("OrderfleetRefundStuck", age("refunding", 900), age("refunding", 901)),
    Case("OrderfleetRefundStuck", age("charged", 900), age("charged", 901)),
    Case(
        "OrderfleetRefundFailed",
        {
            'orderfleet_refunds_total{result="failed"}': steady(3),
            'orderfleet_refunds_total{result="done"}': rising_by(1),
        },
        {'orderfleet_refunds_total{result="failed"}': "3x10 4x80"},
    ),
    Case("OrderfleetPaymentStuck", age("init", 900), age("init", 901)),
    Case("OrderfleetOrdersHeld", held("capture_unknown", 900), held("capture_unknown", 901)),
    Case("OrderfleetOrdersHeld", held("payment_required", 86400), held("payment_required", 86401)),
    # The evaluation is at 20 minutes, so the time is 1,200.
    Case("OrderfleetOrphanSweepStopped", sweep_completed(600), sweep_completed(200)),
    Case("OrderfleetPaymentDifferences", differences(safe=5, unsafe=0), differences(safe=0, unsafe=1)),
    # At 1,500 minutes, the time is 90,000. The age must be too high at the evaluation before too, at 89,400.
    Case("OrderfleetReconciliationStopped", reconciled(3700), reconciled(2900), 1500, 10),
    Case("OrderfleetReconciliationStopped", reconciled(0), reconciled(2900), 1500, 10),
    Case(
        "OrderfleetOrderWorkflowMissing",
        {"orderfleet_order_workflows_missing_total": steady(3)},
        {"orderfleet_order_workflows_missing_total": "3x10 4x80"},
    ),
    Case(
        "OrderfleetFeedBehind",
        always(orderfleet_change_feed_lag_seconds=30),
        always(orderfleet_change_feed_lag_seconds=31),
    ),
    Case("OrderfleetOperatorStuck", operator(5, 1), operator(5, 0)),
    Case("OrderfleetDatabasePoolExhausted", pool(1, 9), pool(1, 10)),
    Case(
        "OrderfleetNonDeterminism",
        {NOT_DETERMINED % "WorkflowError": "_x10 1x80"},
        # The series begins with its first failure.
        {NOT_DETERMINED % "NonDeterminismError": "_x10 1x80"},
        15,
    ),
    Case(
        "OrderfleetResourceExhausted",
        request_failures("RESOURCE_EXHAUSTED", 6),
        request_failures("RESOURCE_EXHAUSTED", 7),
    ),
    Case(
        "OrderfleetWorkflowTaskFailing",
        {NOT_DETERMINED % "WorkflowError": "_x10 1 2x80"},
        {NOT_DETERMINED % "WorkflowError": "_x10 1 2 3x80"},
        15,
    ),
    Case("OrderfleetOrdersOverdue", {OVERDUE: steady(300)}, {OVERDUE: steady(301)}),
    *burning("OrderfleetApiErrorBudgetBurns", api),
    *burning("OrderfleetShippingBudgetBurns", orders),
]
OTHERS = [
    Case("OrderfleetNoPollers", pollers(1, 1), {}),
    Case("OrderfleetOperatorStuck", operator(0, 0), {}),
    Case("OrderfleetOperatorStuck", operator(5, 1) | operator(5, 1, "two"), operator(5, 1) | operator(5, 0, "two")),
    Case("OrderfleetStepFailing", failing("PaymentRefused", 90), failing("StoreUnavailable", 90)),
    Case("OrderfleetStepFailing", failing("PaymentConflict", 90), failing("StoreUnavailable", 90)),
    Case(
        "OrderfleetOrdersNotMoving",
        {AT_RECEIVE % "manual_review": steady(9000)},
        {AT_RECEIVE % "receive": steady(9000)},
    ),
    Case("OrderfleetResourceExhausted", resource_exhausted("default", 6), resource_exhausted("default", 7)),
    Case("OrderfleetResourceExhausted", resource_exhausted("temporal_system", 99), resource_exhausted("mine", 99)),
    Case(
        "OrderfleetResourceExhausted", request_failures("NOT_FOUND", 600), request_failures("RESOURCE_EXHAUSTED", 600)
    ),
    Case(
        "OrderfleetShippingBudgetBurns",
        CALM,
        {'orderfleet_order_duration_seconds_count{outcome="failed"}': rising_by(1)},
        80,
    ),
]


def test_every_alert_has_a_case():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert {case.alert for case in CASES} == alerts


@pytest.mark.parametrize("case", [*CASES, *OTHERS], ids=lambda case: case.alert)
def test_alert_is_quiet_below_its_threshold_and_fires_above(case: Case, tmp_path: Path):
    tests = [_test(case, case.quiet, fires=False), _test(case, case.fires, fires=True)]
    file = tmp_path / "test.yaml"
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{case.interval}m", "tests": tests})
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_pass_promtools_check():
    done = subprocess.run(
        [program("promtool"), "check", "rules", RULES], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _test(case: Case, series: Series, *, fires: bool) -> dict[str, object]:
    # An alert that fires for several queues or steps counts once.
    expression = f'sum(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) > bool 0'
    return {
        "interval": f"{case.interval}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": f"{case.minutes}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }
