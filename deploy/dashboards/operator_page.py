"""The dashboard of operator and API."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import errors, per, quantiles, rate

PAGE = Page(
    "orderfleet-operator-api",
    "Orderfleet: operator and API",
    "Whether the operator keeps up with Orders, and how the API answers.",
    [
        Row(
            "Operator",
            [
                Panel(
                    "Orders by step",
                    "short",
                    "Orders in Kubernetes that have not ended, by what their status shows.",
                    [Query("sum by (step) (orderfleet_operator_orders)", "{{step}}")],
                ),
                Panel(
                    "Reconciles by result",
                    "ops",
                    "Reconciliations per second.",
                    [Query(rate("orderfleet_operator_reconciles_total", "result"), "{{result}}")],
                    "OrderfleetOperatorStuck",
                ),
                Panel(
                    "Time per reconcile",
                    "s",
                    "One reconciliation of an Order.",
                    quantiles("orderfleet_operator_reconcile_duration_seconds"),
                ),
                Panel(
                    "API server calls per reconcile",
                    "short",
                    "On average.",
                    [
                        Query(
                            per(
                                "orderfleet_operator_reconcile_api_calls_sum",
                                "orderfleet_operator_reconcile_api_calls_count",
                            ),
                            "calls",
                        )
                    ],
                ),
                Panel(
                    "API server calls",
                    "ops",
                    "By verb and status, per second.",
                    [Query(rate("orderfleet_operator_api_calls_total", "verb", "status"), "{{verb}} {{status}}")],
                ),
                Panel(
                    "Queue",
                    "short",
                    "Orders that wait to be reconciled, or are being reconciled.",
                    [Query("max(orderfleet_operator_queue_depth)", "Orders")],
                    "OrderfleetOperatorStuck",
                ),
                Panel(
                    "Change feed, lag in seconds",
                    "s",
                    "Time by which the status of Orders is behind the order store.",
                    [Query("max(orderfleet_change_feed_lag_seconds)", "lag")],
                    "OrderfleetFeedBehind",
                ),
                Panel(
                    "Change feed, rows",
                    "short",
                    "Changed orders that are not delivered, and those delivered per second.",
                    [
                        Query("max(orderfleet_change_feed_lag_rows)", "waiting"),
                        Query(rate("orderfleet_change_feed_changes_total"), "delivered per second"),
                    ],
                    "OrderfleetFeedBehind",
                ),
            ],
        ),
        Row(
            "API",
            [
                Panel(
                    "Requests by route",
                    "reqps",
                    "Requests per second.",
                    [
                        Query(
                            rate("orderfleet_api_request_duration_seconds_count", "method", "route"),
                            "{{method}} {{route}}",
                        )
                    ],
                ),
                Panel(
                    "Errors",
                    "percentunit",
                    "Share of the answers of the last hour that were 5xx. A month's budget is 0.1 %.",
                    [Query(errors("1h"), "of all answers")],
                    "OrderfleetApiErrorBudgetBurns",
                ),
                Panel(
                    "Answers by status",
                    "reqps",
                    "Answers per second.",
                    [Query(rate("orderfleet_api_request_duration_seconds_count", "status"), "{{status}}")],
                    "OrderfleetApiErrorBudgetBurns",
                ),
                Panel(
                    "Time to the first byte",
                    "s",
                    "By route.",
                    quantiles("orderfleet_api_request_duration_seconds", "route"),
                ),
            ],
        ),
    ],
)
