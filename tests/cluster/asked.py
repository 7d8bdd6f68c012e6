"""Python that the cluster test has pods run: what the API answers, what their login to Postgres may do."""

from __future__ import annotations

from typing import Final

API: Final = """
import sys, urllib.error, urllib.request
for token in sys.argv[1:]:
    shown = {"Authorization": f"Bearer {token}"}
    try:
        asked = urllib.request.Request("http://127.0.0.1:8000/orders?limit=1", headers=shown)
        print(urllib.request.urlopen(asked, timeout=30).status)
    except urllib.error.HTTPError as refused:
        print(refused.code)
"""
"""Prints the status that each token given as an argument is answered with."""

DATABASE: Final = """
import asyncio, asyncpg, os
async def try_it():
    connection = await asyncpg.connect(open(os.environ["ORDERFLEET_DATABASE_URL_FILE"]).read().strip())
    print(await connection.fetchval("select current_user"))
    try:
        await connection.execute("delete from events")
    except asyncpg.PostgresError as refused:
        print(type(refused).__name__)
asyncio.run(try_it())
"""
"""Prints who a pod is to Postgres, and how the deletion of the audit trail is refused."""

PROMOTE_NONE: Final = """
import asyncio, os, sys
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
async def do_it():
    client = await Client.connect(os.environ["ORDERFLEET_TEMPORAL_ADDRESS"])
    wanted = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=sys.argv[1], version="__unversioned__", ignore_missing_task_queues=True
    )
    await client.workflow_service.set_worker_deployment_current_version(wanted)
asyncio.run(do_it())
"""
"""Gives the orders to workers without a version: `--unversioned` of Temporal's command line 1.5.1 is refused."""
