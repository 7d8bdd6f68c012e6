"""The dashboard of orders and their money."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import late, quantiles, rate

PAGE = Page(
    "orderfleet-orders",
    "Orderfleet: orders",
    "How many orders arrive, how they end, where they wait, and the state of their payments.",
    [
        Row(
            "Now",
            [
                Panel(
                    "Waiting for review",
                    "short",
                    "Orders in manual review.",
                    [Query('max(orderfleet_open_orders{step="manual_review"})', "orders")],
                    number=True,
                ),
                Panel(
                    "Longest in review",
                    "s",
                    "Age of the oldest order in review, since its start.",
                    [Query('max(orderfleet_open_order_oldest_seconds{step="manual_review"})', "age")],
                    number=True,
                ),
                Panel(
                    "Past their deadline",
                    "short",
                    "Orders past their own deadline that are neither shipped nor compensated.",
                    [Query("sum(max by (step) (orderfleet_overdue_orders))", "orders")],
                    "OrderfleetOrdersOverdue",
                    number=True,
                ),
                Panel(
                    "Longest past its deadline",
                    "s",
                    "Time since the first of these deadlines.",
                    [Query("max(orderfleet_overdue_order_oldest_seconds)", "overdue")],
                    "OrderfleetOrdersOverdue",
                    number=True,
                ),
                Panel(
                    "Held",
                    "short",
                    "Orders that wait for the capture of their payment before their dispatch.",
                    [Query("sum by (hold) (max by (hold) (orderfleet_held_orders))", "{{hold}}")],
                    "OrderfleetOrdersHeld",
                    number=True,
                ),
                Panel(
                    "Longest held",
                    "s",
                    "Longest time that one of these orders has been held.",
                    [Query("max by (hold) (orderfleet_held_order_oldest_seconds)", "{{hold}}")],
                    "OrderfleetOrdersHeld",
                    number=True,
                ),
                Panel(
                    "Pending refunds",
                    "short",
                    "Refunds that are not completed, including those that have not started.",
                    [Query('sum(max by (status) (orderfleet_open_payments{status=~"charged|refunding"}))', "refunds")],
                    "OrderfleetRefundStuck",
                    number=True,
                ),
                Panel(
                    "Longest pending refund",
                    "s",
                    "Age of the oldest pending refund.",
                    [Query('max(orderfleet_open_payment_oldest_seconds{status=~"charged|refunding"})', "age")],
                    "OrderfleetRefundStuck",
                    number=True,
                ),
                Panel(
                    "Charges without outcome",
                    "short",
                    "Started payments that are neither charged, rejected nor voided.",
                    [Query('max(orderfleet_open_payments{status="init"})', "payments")],
                    "OrderfleetPaymentStuck",
                    number=True,
                ),
                Panel(
                    "Longest without outcome",
                    "s",
                    "Time since the start of the oldest one.",
                    [Query('max(orderfleet_open_payment_oldest_seconds{status="init"})', "age")],
                    "OrderfleetPaymentStuck",
                    number=True,
                ),
            ],
        ),
        Row(
            "Orders",
            [
                Panel(
                    "Failed or shipped late",
                    "percentunit",
                    "Share of the orders that ended in the last hour, without canceled ones. A month's budget is 1 %.",
                    [Query(late("1h"), "of those that ended")],
                    "OrderfleetShippingBudgetBurns",
                ),
                Panel(
                    "Orders received",
                    "ops",
                    "Orders stored for the first time, per second.",
                    [Query(rate("orderfleet_orders_received_total"), "received")],
                ),
                Panel(
                    "Orders by outcome",
                    "ops",
                    "Orders that ended, per second.",
                    [Query(rate("orderfleet_order_duration_seconds_count", "outcome"), "{{outcome}}")],
                    "OrderfleetShippingBudgetBurns",
                ),
                Panel(
                    "Open orders by step",
                    "short",
                    "Orders in the order store that have not shipped or ended.",
                    [Query("max by (step) (orderfleet_open_orders)", "{{step}}")],
                    "OrderfleetOrdersNotMoving",
                ),
                Panel(
                    "Age of the oldest by step",
                    "s",
                    "Since the order's start.",
                    [Query("max by (step) (orderfleet_open_order_oldest_seconds)", "{{step}}")],
                    "OrderfleetOrdersNotMoving",
                ),
                Panel(
                    "From start to end",
                    "s",
                    "Orders that ended, review included.",
                    quantiles("orderfleet_order_duration_seconds", "outcome"),
                ),
                Panel(
                    "Wait for review",
                    "s",
                    "Reviews that ended.",
                    quantiles("orderfleet_review_wait_seconds", "outcome"),
                ),
            ],
        ),
        Row(
            "Orphans",
            [
                Panel(
                    "Since the last orphan sweep",
                    "s",
                    "Time since any worker completed a sweep; the interval is 30 s by default.",
                    [Query("time() - max(orderfleet_orphan_sweep_last_completed_timestamp_seconds)", "since")],
                    "OrderfleetOrphanSweepStopped",
                ),
                Panel(
                    "Orphans found",
                    "ops",
                    "Unfinished orders whose workflow closed and whose compensation started, per second.",
                    [Query(rate("orderfleet_orphans_found_total", "source"), "{{source}}")],
                    "OrderfleetOrphanSweepStopped",
                ),
                Panel(
                    "Checks without a workflow",
                    "ops",
                    "Checks of an unfinished order that found no workflow in Temporal, per second.",
                    [Query(rate("orderfleet_order_workflows_missing_total"), "checks")],
                    "OrderfleetOrderWorkflowMissing",
                ),
                Panel(
                    "Workflow ids in use",
                    "ops",
                    "Workflow ids of an order that a workflow of another client had, per second.",
                    [Query(rate("orderfleet_workflow_id_conflicts_total", "workflow_type"), "{{workflow_type}}")],
                ),
            ],
        ),
        Row(
            "Money",
            [
                Panel(
                    "Payments by result",
                    "ops",
                    "Payments that reached a result, per second.",
                    [Query(rate("orderfleet_payments_total", "result"), "{{result}}")],
                ),
                Panel(
                    "Refunds",
                    "ops",
                    "Refunds that began, were made, failed, or were refused as more than is left, per second.",
                    [Query(rate("orderfleet_refunds_total", "result"), "{{result}}")],
                    "OrderfleetRefundStuck",
                ),
                Panel(
                    "Failed refunds",
                    "short",
                    "Refunds of the last hour that the payment provider refused permanently, or returned.",
                    [Query('sum(increase(orderfleet_refunds_total{result="failed"}[1h]))', "failed")],
                    "OrderfleetRefundFailed",
                ),
                Panel(
                    "Webhooks of the payment provider",
                    "ops",
                    "Reports about charges, refunds and disputes, per second; unknown ones are of no payment of ours.",
                    [Query(rate("orderfleet_payment_webhooks_total", "result"), "{{result}}")],
                ),
            ],
        ),
        Row(
            "Reconciliation",
            [
                Panel(
                    "Differences to repair by hand",
                    "short",
                    "Open differences between the ledger and the payment provider, by kind.",
                    [Query('max by (kind) (orderfleet_payment_differences{repair="manual"})', "{{kind}}")],
                    "OrderfleetPaymentDifferences",
                ),
                Panel(
                    "Longest open difference",
                    "s",
                    "Time since the first reconciliation that found it, of those to repair by hand.",
                    [Query('max(orderfleet_payment_difference_oldest_seconds{repair="manual"})', "age")],
                    "OrderfleetPaymentDifferences",
                ),
                Panel(
                    "Differences repaired",
                    "ops",
                    "Differences that reconciliations repaired, per second, by kind.",
                    [Query(rate("orderfleet_payment_differences_repaired_total", "kind"), "{{kind}}")],
                ),
                Panel(
                    "Since the last reconciliation",
                    "s",
                    "Time since one was completed; the interval is 1 h by default.",
                    [Query("time() - max(orderfleet_reconciliation_last_completed_timestamp_seconds)", "since")],
                    "OrderfleetReconciliationStopped",
                ),
                Panel(
                    "Reconciliations without a comparison",
                    "ops",
                    "Runs per second that compared nothing, because the payment provider does not list its payments.",
                    [Query(rate("orderfleet_reconciliations_not_supported_total"), "not supported")],
                ),
            ],
        ),
        Row(
            "Stock",
            [
                Panel(
                    "Sold out",
                    "short",
                    "SKUs at one location without a free piece; `short`: fewer are on hand than reserved.",
                    [Query("max by (state) (orderfleet_stock_levels)", "{{state}}")],
                ),
                Panel(
                    "Oldest expired reservation",
                    "s",
                    "Its pieces are free already; maintenance removes its row.",
                    [Query("max(orderfleet_stock_expired_reservation_oldest_seconds)", "age")],
                ),
            ],
        ),
    ],
)
