"""Workers wait for a Temporal that answers but does not know its namespace yet, as right after its start."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from support.polling import eventually
from support.role_processes import RoleProcesses


@pytest.mark.slow
async def test_order_worker_waits_until_temporal_knows_its_namespace(
    processes: RoleProcesses, temporal_client: Client
) -> None:
    namespace, retention = f"late-{uuid.uuid4().hex[:8]}", Duration()
    retention.FromTimedelta(timedelta(days=1))
    worker = await processes.worker("orders", ORDERFLEET_TEMPORAL_NAMESPACE=namespace)

    async def log_text() -> str:
        assert worker.process.returncode is None, worker.log.read_text()
        return await asyncio.to_thread(worker.log.read_text)

    await eventually(log_text, lambda log: "trying again" in log)
    request = RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    await temporal_client.workflow_service.register_namespace(request)
    await worker.answers("/readyz", 200)
