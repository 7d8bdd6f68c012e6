"""The wall clock of single processes is set an hour ahead or back while orders run: orders follow Temporal's time."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Item, Review, ReviewMode, ReviewTimeoutAction
from orderfleet.domain.status import Step
from orderfleet.services.workflow_client import OrderClient
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from support.factories import automatic_order, order_manifest
from support.identity_provider import AUDIENCE, ISSUER, identity_provider
from support.jumping_clock import JumpingClock, jumping_clock
from support.ledgers import Ledgers
from support.operator_env import OperatorTestEnv, operator_env, step
from support.polling import eventually
from support.role_processes import RoleProcesses

__all__ = ["operator_env"]

AHEAD, CORRECT, BACK = timedelta(hours=1), timedelta(0), timedelta(hours=-1)
REVIEW = timedelta(seconds=6)
SLACK = timedelta(minutes=10)
"""More than any delay of a busy machine, and less than a clock jump."""

pytestmark = pytest.mark.slow


@pytest.fixture
def clock(tmp_path: Path) -> JumpingClock:
    return jumping_clock(tmp_path)


@pytest.fixture
def role_environment(role_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    ledger = str(tmp_path / "ledger.db")
    return {**role_environment, "ORDERFLEET_LOG_FORMAT": "json", "ORDERFLEET_SIMULATED_LEDGER": ledger}


@pytest.mark.parametrize("offset", [AHEAD, BACK])
async def test_workers_whose_clock_jumps_follow_temporal_time(
    processes: RoleProcesses,
    clock: JumpingClock,
    temporal_client: Client,
    postgres_url: str,
    task_queues: Any,
    tmp_path: Path,
    offset: timedelta,
) -> None:
    worker = await processes.worker("all", **clock.environment)
    await worker.answers("/readyz", 200)
    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    began = datetime.now(UTC)
    review = Review(mode=ReviewMode.MANUAL, timeout=REVIEW, on_timeout=ReviewTimeoutAction.CANCEL)
    undeliverable = Item(sku="refuse-dispatch", qty=1, price="5.00")
    run = uuid.uuid4().hex[:8]
    reviewed, before, after, refunded = names = [
        f"{name}-{run}" for name in ("reviewed", "before", "after", "refunded")
    ]
    await client.start(automatic_order(reviewed, task_queues, review=review))
    await client.start(automatic_order(before, task_queues))
    clock.jump(offset)
    await client.start(automatic_order(after, task_queues))
    await client.start(automatic_order(refunded, task_queues, items=(undeliverable,)))
    for order_id in (reviewed, before, after):
        await temporal_client.get_workflow_handle(f"order-{order_id}").result()
    with pytest.raises(WorkflowFailureError):
        await temporal_client.get_workflow_handle(f"order-{refunded}").result()
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        reads = OrderReads(database)
        await eventually(lambda: _events(reads, refunded), lambda events: EventKind.REFUNDED in _kinds(events))
        found = {name: recorded.status for name, recorded in (await reads.orders(names)).items()}
        events = [event for name in names for event in await reads.events(name)]
    worker.process.terminate()
    assert await worker.ends() == 0
    assert abs(_last_log_time(worker.log) - datetime.now(UTC) - offset) < SLACK, (
        "the clock did not jump, so nothing was tested"
    )

    ends = [Step.CANCELED, Step.SHIPPED, Step.SHIPPED, Step.FAILED]
    assert [found[name].step for name in names] == ends
    waited = found[reviewed].completed_at - found[reviewed].created_at
    assert REVIEW <= waited < SLACK
    assert {EventKind.CHARGED, EventKind.DISPATCHED, EventKind.REFUNDED} <= _kinds(events)
    misdated = [event for event in events if not began - SLACK < event.at < datetime.now(UTC) + SLACK]
    assert not misdated, "these have the worker's time"
    money = Ledgers(tmp_path / "ledger.db").money()
    assert [money["charge", f"pay-{name}"] for name in names] == [0, 1, 1, 1]
    assert money["refund", f"pay-{refunded}"] == 1


async def test_operator_whose_clock_jumps_applies_changes(
    processes: RoleProcesses, clock: JumpingClock, operator_env: OperatorTestEnv
) -> None:
    await (await processes.worker("all")).answers("/readyz", 200)
    operator = await processes.operator(
        ORDERFLEET_OPERATOR_NAMESPACES=operator_env.cluster.namespace, **clock.environment
    )
    await operator.answers("/readyz", 200)
    for number, offset in enumerate((AHEAD, BACK, CORRECT)):
        name = f"declared-{number}"
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda found: step(found) == "manual_review")
        clock.jump(offset)
        await operator_env.patch(name, approved=True)
        await operator_env.until(name, lambda found: step(found) == "shipped")
    assert operator.process.returncode is None


async def test_api_whose_clock_is_wrong_rejects_valid_tokens_until_it_is_correct(
    processes: RoleProcesses, clock: JumpingClock
) -> None:
    async with identity_provider() as identity:
        api = await processes.api(
            ORDERFLEET_API_AUTH="jwt",
            ORDERFLEET_API_JWKS_URL=identity.url,
            ORDERFLEET_API_JWT_ISSUER=ISSUER,
            ORDERFLEET_API_JWT_AUDIENCE=AUDIENCE,
            **clock.environment,
        )
        await api.answers("/readyz", 200)
        url = f"http://127.0.0.1:{api.port}/orders"
        async with httpx.AsyncClient(timeout=60) as client:

            async def status_with_clock(offset: timedelta) -> int:
                clock.jump(offset)
                now = datetime.now(UTC).timestamp()
                token = identity.token(iat=now, nbf=now, exp=now + 600)
                return (await client.get(url, headers={"Authorization": f"Bearer {token}"})).status_code

            assert await status_with_clock(CORRECT) == 200
            assert await status_with_clock(AHEAD) == 401, "expired by this clock"
            assert await status_with_clock(BACK) == 401, "not valid yet by this clock"
            # Within the leeway of 30 s.
            assert await status_with_clock(timedelta(seconds=-20)) == 200
            assert await status_with_clock(CORRECT) == 200


async def _events(reads: OrderReads, order_id: str) -> list[RecordedEvent]:
    return list(await reads.events(order_id))


def _kinds(events: list[RecordedEvent]) -> set[EventKind]:
    return {event.kind for event in events}


def _last_log_time(log: Path) -> datetime:
    """Return the time of the last log line, by the process's own clock."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return datetime.fromisoformat(lines[-1]["timestamp"])
