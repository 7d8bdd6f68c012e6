"""The one door into Temporal for the operator, the API and the command line."""

from orderfleet.client.client import OrderClient, conflict
from orderfleet.client.desk import OrderDesk, Source, SourcedStatus
from orderfleet.client.errors import OrderConflict, OrderEnded, OrderNotFound, OrderRefused, TemporalUnavailable
from orderfleet.client.history import HistoryLine
from orderfleet.client.inspector import OrderInspector, WorkflowView
from orderfleet.client.pending import PendingActivity, PendingState
from orderfleet.client.results import Answer, Started, StartOutcome

__all__ = [
    "Answer",
    "HistoryLine",
    "OrderClient",
    "OrderConflict",
    "OrderDesk",
    "OrderEnded",
    "OrderInspector",
    "OrderNotFound",
    "OrderRefused",
    "PendingActivity",
    "PendingState",
    "Source",
    "SourcedStatus",
    "StartOutcome",
    "Started",
    "TemporalUnavailable",
    "WorkflowView",
    "conflict",
]
