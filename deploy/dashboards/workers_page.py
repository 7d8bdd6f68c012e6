"""The dashboard of queues, workers and versions."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import QUEUE, VERSIONED, quantiles, rate

PAGE = Page(
    "orderfleet-workers",
    "Orderfleet: workers",
    "Queues, capacity of the workers, and running versions.",
    [
        Row(
            "Queues",
            [
                Panel(
                    "Backlog",
                    "short",
                    "Tasks that wait for a worker, approximately.",
                    [
                        Query(
                            'max by (task_queue, kind) (orderfleet_queue_backlog{task_queue=~"$queue"})',
                            "{{task_queue}} {{kind}}",
                        )
                    ],
                    "OrderfleetBacklogOld",
                ),
                Panel(
                    "Age of the backlog",
                    "s",
                    "How long the oldest task has waited.",
                    [
                        Query(
                            'max by (task_queue, kind) (orderfleet_queue_backlog_age_seconds{task_queue=~"$queue"})',
                            "{{task_queue}} {{kind}}",
                        )
                    ],
                    "OrderfleetBacklogOld",
                ),
                Panel(
                    "Pollers",
                    "short",
                    "Open polls at Temporal.",
                    [
                        Query(
                            f"sum by (task_queue, poller_type) (temporal_num_pollers{{{QUEUE}}})",
                            "{{task_queue}} {{poller_type}}",
                        )
                    ],
                    "OrderfleetNoPollers",
                ),
                Panel(
                    "Schedule to start, activities",
                    "s",
                    "How long a regular activity waits for a worker.",
                    quantiles("temporal_activity_schedule_to_start_latency_seconds", "task_queue", where=QUEUE),
                    "OrderfleetScheduleToStartSlow",
                ),
                Panel(
                    "Schedule to start, workflow tasks",
                    "s",
                    "How long a workflow task waits for a worker.",
                    quantiles("temporal_workflow_task_schedule_to_start_latency_seconds", "task_queue", where=QUEUE),
                    "OrderfleetScheduleToStartSlow",
                ),
            ],
        ),
        Row(
            "Workers",
            [
                Panel(
                    "Slots used",
                    "short",
                    "Tasks that workers are running.",
                    [
                        Query(
                            f"sum by (task_queue, worker_type) (temporal_worker_task_slots_used{{{QUEUE}}})",
                            "{{task_queue}} {{worker_type}}",
                        )
                    ],
                    "OrderfleetBacklogOld",
                ),
                Panel(
                    "Slots available",
                    "short",
                    "Free task slots.",
                    [
                        Query(
                            f"sum by (task_queue, worker_type) (temporal_worker_task_slots_available{{{QUEUE}}})",
                            "{{task_queue}} {{worker_type}}",
                        )
                    ],
                    "OrderfleetBacklogOld",
                ),
                Panel(
                    "Cached workflows",
                    "short",
                    "Workflows in the workers' caches.",
                    [Query(f"sum by (task_queue) (temporal_sticky_cache_size{{{QUEUE}}})", "{{task_queue}}")],
                ),
                Panel(
                    "Workflow task time",
                    "s",
                    "Time a workflow task takes, without the replay of an order that was not in the cache.",
                    quantiles("temporal_workflow_task_execution_latency_seconds", "task_queue", where=QUEUE),
                ),
                Panel(
                    "Workflow tasks that fail",
                    "ops",
                    "By type and reason, per second. A workflow whose task fails is blocked.",
                    [
                        Query(
                            rate(
                                "temporal_workflow_task_execution_failed_total",
                                "workflow_type",
                                "failure_reason",
                                where=QUEUE,
                            )
                            + ' or label_replace(vector(0), "failure_reason", "none", "", "")',
                            "{{workflow_type}} {{failure_reason}}",
                        )
                    ],
                    "OrderfleetWorkflowTaskFailing",
                ),
                Panel(
                    "Workflows completed",
                    "ops",
                    "By type, per second.",
                    [
                        Query(
                            rate("temporal_workflow_completed_total", "workflow_type", where=QUEUE),
                            "{{workflow_type}}",
                        )
                    ],
                ),
                Panel(
                    "Calls to Temporal",
                    "ops",
                    "By operation, per second.",
                    [
                        Query(
                            rate("temporal_request_total", "operation", where='namespace=~"$namespace"'),
                            "{{operation}}",
                        )
                    ],
                    "OrderfleetResourceExhausted",
                ),
                Panel(
                    "Calls rejected by a limit",
                    "ops",
                    "By operation, per second, as the Temporal server counts them where its own metrics are scraped.",
                    [
                        Query(
                            rate("service_errors_resource_exhausted", "operation", where='namespace=~"$namespace"')
                            + ' or label_replace(vector(0), "operation", "none", "", "")',
                            "{{operation}}",
                        )
                    ],
                    "OrderfleetResourceExhausted",
                ),
            ],
        ),
        Row(
            "Processes",
            [
                Panel(
                    "CPU",
                    "percentunit",
                    "Share of one core, by process.",
                    [
                        Query(
                            f"rate(process_cpu_seconds_total[$__rate_interval]) {VERSIONED}", "{{instance}} {{version}}"
                        )
                    ],
                ),
                Panel(
                    "Memory",
                    "bytes",
                    "Resident, by process.",
                    [Query(f"process_resident_memory_bytes {VERSIONED}", "{{instance}} {{version}}")],
                ),
                Panel(
                    "What runs",
                    "short",
                    "Processes by role and version.",
                    [
                        Query(
                            'sum by (role, version, temporalio) (orderfleet_build_info{version=~"$version"})',
                            "{{role}} {{version}}, SDK {{temporalio}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)
