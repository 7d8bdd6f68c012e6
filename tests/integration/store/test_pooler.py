"""Writes and the change feed through a real PgBouncer that pools connections by transaction."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from orderfleet_local.stack import ports
from support.backing import Backing
from support.polling import eventually
from support.sample_rows import AT, CHARGE, payment, progress, receive, sample_order

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = statement_timeout
"""


@pytest.fixture
def pooled_url(postgres_url: str, backing: Backing) -> Iterator[str]:
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer isn't on the PATH: apt-get install pgbouncer")
    there, own = urlsplit(postgres_url), ports.choose(0)
    configuration = backing.folder / f"pgbouncer-{own}.ini"  # readable by an account that is not root
    configuration.write_text(_CONFIGURATION.format(host=there.hostname, port=there.port, user=there.username, own=own))
    # It refuses to run as root.
    account: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen([program, "--quiet", configuration], stderr=subprocess.PIPE, **account)
    try:
        yield there._replace(netloc=f"{there.username}@127.0.0.1:{own}").geturl()
    finally:
        process.kill()
        process.communicate()


async def test_transaction_pooler_carries_writes_and_change_feed(postgres_url: str, pooled_url: str) -> None:
    ten = timedelta(seconds=10)

    async def answers() -> bool:
        try:
            await (await asyncpg.connect(pooled_url, statement_cache_size=0)).close()
        except OSError:
            return False
        return True

    await eventually(answers)
    # More callers than pooled connections, so that each call gets a different one.
    async with Database(pooled_url, pool_size=8, timeout=ten, listen_url=postgres_url, prepared=False) as database:
        writes, reads = OrderWrites(database), OrderReads(database)
        feed = PostgresChangeFeed(database, poll=timedelta(minutes=10))  # only notifications start a read
        delivered: set[str] = set()

        async def follow() -> None:
            async with aclosing(feed.follow()) as batches:
                async for batch in batches:
                    delivered.update(each.status.order_id for each in batch if each.status.ended)

        following = asyncio.create_task(follow())
        await feed.started()
        ids = {f"ord-{number}" for number in range(40)}

        async def write(order_id: str) -> None:
            await receive(writes, sample_order(order_id))
            await writes.begin_payment(payment(order_id))
            await writes.finish_payment(payment(order_id), PaymentStatus.CHARGED, CHARGE)
            await writes.record(order_id, progress(2, Step.SHIPPED, completed_at=AT))

        await asyncio.gather(*(write(order_id) for order_id in ids))

        async def all_delivered() -> bool:
            return delivered == ids

        await eventually(all_delivered)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        found = await reads.order("ord-7")
        assert found is not None
        assert found.status.payment.status is PaymentStatus.CHARGED
