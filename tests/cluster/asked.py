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
    connection = await asyncpg.connect(os.environ["ORDERFLEET_DATABASE_URL"])
    print(await connection.fetchval("select current_user"))
    try:
        await connection.execute("delete from events")
    except asyncpg.PostgresError as refused:
        print(type(refused).__name__)
asyncio.run(try_it())
"""
"""Prints who a pod is to Postgres, and how the deletion of the audit trail is refused."""
