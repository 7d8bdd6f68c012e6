"""What the dashboard of orders and their money shows."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import quantiles, rate

PAGE = Page(
    "orderfleet-orders",
    "Orderfleet: orders",
    "How many orders come, how they end, where they wait, and what became of the money.",
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
                    "Refunds owed",
                    "short",
                    "Refunds that are tried and not yet done.",
                    [Query('max(orderfleet_open_payments{status="refunding"})', "refunds")],
                    "OrderfleetRefundStuck",
                    number=True,
                ),
                Panel(
                    "Charges without outcome",
                    "short",
                    "Payments begun that are neither charged, refused nor voided.",
                    [Query('max(orderfleet_open_payments{status="init"})', "payments")],
                    "OrderfleetPaymentStuck",
                    number=True,
                ),
            ],
        ),
        Row(
            "Orders",
            [
                Panel(
                    "Orders received",
                    "ops",
                    "Orders recorded for the first time, a second.",
                    [Query(rate("orderfleet_orders_received_total"), "received")],
                ),
                Panel(
                    "Orders by outcome",
                    "ops",
                    "Orders that ended, a second.",
                    [Query(rate("orderfleet_order_duration_seconds_count", "outcome"), "{{outcome}}")],
                    "OrderfleetShippingBudgetBurns",
                ),
                Panel(
                    "Open orders by step",
                    "short",
                    "Orders in the record that have not been shipped or ended.",
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
            "Money",
            [
                Panel(
                    "Payments by result",
                    "ops",
                    "Payments that reached a result, a second.",
                    [Query(rate("orderfleet_payments_total", "result"), "{{result}}")],
                ),
                Panel(
                    "Refunds",
                    "ops",
                    "Refunds that became owed and that were done, a second.",
                    [Query(rate("orderfleet_refunds_total", "result"), "{{result}}")],
                    "OrderfleetRefundStuck",
                ),
            ],
        ),
    ],
)
