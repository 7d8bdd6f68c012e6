"""What the dashboard of the operator and the API shows."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import errors, per, quantiles, rate

PAGE = Page(
    "orderfleet-operator-api",
    "Orderfleet: operator and API",
    "Whether Orders in Kubernetes are kept up with, and how the API answers.",
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
                    "Looks at an Order, a second.",
                    [Query(rate("orderfleet_operator_reconciles_total", "result"), "{{result}}")],
                    "OrderfleetOperatorStuck",
                ),
                Panel(
                    "Time per reconcile",
                    "s",
                    "One look at an Order.",
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
                    "By verb and status, a second.",
                    [Query(rate("orderfleet_operator_api_calls_total", "verb", "status"), "{{verb}} {{status}}")],
                ),
                Panel(
                    "Queue",
                    "short",
                    "Orders that wait to be looked at, or are.",
                    [Query("max(orderfleet_operator_queue_depth)", "Orders")],
                    "OrderfleetOperatorStuck",
                ),
                Panel(
                    "Change feed, seconds behind",
                    "s",
                    "How long ago the operator had been told everything.",
                    [Query("max(orderfleet_feed_lag_seconds)", "lag")],
                    "OrderfleetFeedBehind",
                ),
                Panel(
                    "Change feed, rows",
                    "short",
                    "Changed orders that wait to be told, and those told a second.",
                    [
                        Query("max(orderfleet_feed_lag_rows)", "waiting"),
                        Query(rate("orderfleet_feed_changes_total"), "told a second"),
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
                    "Requests a second.",
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
                    "Share of the answers of the last hour that were 5xx. 0.1 % of a month's may.",
                    [Query(errors("1h"), "of all answers")],
                    "OrderfleetApiErrorBudgetBurns",
                ),
                Panel(
                    "Answers by status",
                    "reqps",
                    "Answers a second.",
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
