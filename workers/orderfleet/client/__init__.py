"""The one door into Temporal for the operator, the API and the command line."""

from orderfleet.client.carrier import CarrierDesk
from orderfleet.client.client import OrderClient
from orderfleet.client.desk import OrderDesk, Seen, Source, SourcedStatus
from orderfleet.client.errors import (
    OrderConflict,
    OrderEnded,
    OrderNotFound,
    OrderRefused,
    ShipmentNotFound,
    TemporalUnavailable,
)
from orderfleet.client.inspector import OrderInspector, WorkflowView
from orderfleet.client.ownership import Claim, conflict
from orderfleet.client.pending import PendingActivity, PendingState
from orderfleet.client.results import Answer, Closed, Heard, Started, StartOutcome
from orderfleet.client.runs import RunHistory

__all__ = [
    "Answer",
    "CarrierDesk",
    "Claim",
    "Closed",
    "Heard",
    "OrderClient",
    "OrderConflict",
    "OrderDesk",
    "OrderEnded",
    "OrderInspector",
    "OrderNotFound",
    "OrderRefused",
    "PendingActivity",
    "PendingState",
    "RunHistory",
    "Seen",
    "ShipmentNotFound",
    "Source",
    "SourcedStatus",
    "StartOutcome",
    "Started",
    "TemporalUnavailable",
    "WorkflowView",
    "conflict",
]
