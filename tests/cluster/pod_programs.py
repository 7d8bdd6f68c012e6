"""Python programs that the cluster test runs in pods."""

from __future__ import annotations

from typing import Final

API: Final = """
import sys, urllib.error, urllib.request
for token in sys.argv[1:]:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request("http://127.0.0.1:8000/orders?limit=1", headers=headers)
        print(urllib.request.urlopen(request, timeout=30).status)
    except urllib.error.HTTPError as refused:
        print(refused.code)
"""
"""Prints the API's response status for each token in the arguments."""

DATABASE: Final = """
import asyncio, asyncpg, os
async def main():
    connection = await asyncpg.connect(open(os.environ["ORDERFLEET_DATABASE_URL_FILE"]).read().strip())
    print(await connection.fetchval("select current_user"))
    try:
        await connection.execute("delete from events")
    except asyncpg.PostgresError as refused:
        print(type(refused).__name__)
asyncio.run(main())
"""
"""Prints a pod's role in Postgres, and the error of deleting the audit trail."""

PROMOTE_NONE: Final = """
import asyncio, os, sys
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
async def main():
    client = await Client.connect(os.environ["ORDERFLEET_TEMPORAL_ADDRESS"])
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=sys.argv[1], version="__unversioned__", ignore_missing_task_queues=True
    )
    await client.workflow_service.set_worker_deployment_current_version(request)
asyncio.run(main())
"""
"""Moves orders to workers without a version. Temporal's server rejects `--unversioned` of its command line 1.5.1."""
