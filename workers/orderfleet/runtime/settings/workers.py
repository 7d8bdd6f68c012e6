"""Queues and slots of the workers, and what they do besides."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.names import ORDERS_TASK_QUEUE, SHIPPING_TASK_QUEUE
from orderfleet.runtime.settings.base import Group, names


class WorkerSettings(Group):
    """Settings of order and shipping workers."""

    orders_task_queue: str = Field(
        default=ORDERS_TASK_QUEUE,
        min_length=1,
        validation_alias=names("ORDERS_TASK_QUEUE", "ORDERS_TASK_QUEUE", "ORDER_TASK_QUEUE"),
        description="Task queue of the order workers.",
    )
    shipping_task_queue: str = Field(
        default=SHIPPING_TASK_QUEUE,
        min_length=1,
        validation_alias=names("SHIPPING_TASK_QUEUE", "SHIPPING_TASK_QUEUE"),
        description="Task queue of the shipping workers.",
    )
    worker_deployment: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62})?$",
        description="Temporal's name for the fleet of which this worker is one version, such as `orderfleet`. Then it "
        "gets no order before that version is made current or ramped. Empty: workers have no versions.",
    )
    worker_build_id: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.+-]{0,127})?$",
        description="Which version of its deployment this worker is, such as the image's tag: another one for every "
        "change of code. Empty: the product's version.",
    )
    worker_activity_slots: int = Field(default=100, ge=1, description="Activities a worker runs at once.")
    worker_workflow_slots: int = Field(default=200, ge=2, description="Workflow tasks a worker handles at once.")
    # Without a cache the SDK drops local activities that are under way as a workflow is put aside (sdk-rust #1304).
    worker_cached_workflows: int = Field(default=1000, ge=1, description="Workflows a worker keeps in memory.")
    temporal_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the SDK's own Prometheus metrics in a worker; 0 is off."
    )
    orphan_sweep_interval: Duration = Field(
        default=parse_duration("30s"),
        ge=timedelta(seconds=1),
        description="How often the orphan sweep starts: it finds unfinished orders whose workflow is closed.",
    )
    orphan_sweep_batch: int = Field(
        default=1000,
        ge=1,
        description="Unfinished orders that each orphan sweep checks against Temporal, beside those whose workflow "
        "closed recently.",
    )
