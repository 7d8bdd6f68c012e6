"""What Temporal's NOT_FOUND is about. The client and the sweep ask before they take a workflow for gone.

A server that has just started, or stood still, may not know its namespace for a moment, and says NOT_FOUND of
every workflow then. It must never be taken for an order that isn't there.
"""

from __future__ import annotations

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.service import RPCError, RPCStatusCode


def workflow_absent(error: RPCError) -> bool:
    """Whether the answer says that there is no such workflow, in a namespace that is there."""
    if error.status is not RPCStatusCode.NOT_FOUND:
        return False
    return not any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
