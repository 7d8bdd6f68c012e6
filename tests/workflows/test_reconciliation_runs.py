"""Runs of the reconciliation's schedule, with payment providers that do not list their payments or are unavailable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs
from temporalio.client import WorkflowFailureError

from orderfleet.domain import names
from orderfleet.domain.errors import PaymentsNotListed, ProviderUnavailable
from orderfleet.domain.reconciliation_run import ReconciliationProgress
from orderfleet.orders.reconciliation import OVERLAP
from orderfleet.orders.schedules import WorkflowSchedule, ensure_schedule, reconciliation
from support.metric_samples import metric_changes
from support.polling import eventually
from support.reconciled_books import ReconciledBooks
from support.workflow_env import WorkflowTestEnv


async def test_provider_without_a_list_is_no_failure_and_what_was_not_compared_is_compared_later(
    workflow_env: WorkflowTestEnv, postgres_url: str
) -> None:
    env, provider = workflow_env, workflow_env.provider
    provider.list_error = PaymentsNotListed("answered 404")
    books = ReconciledBooks.of(env, provider)
    books.move("refund", await books.charged("later"))
    with metric_changes() as samples, capture_logs() as logs:
        runs = [await books.reconcile() for _ in range(2)]
    assert [(each.not_supported, each.compared, each.open.done) for each in runs] == [("answered 404", 0, False)] * 2
    assert samples("orderfleet_reconciliations_not_supported_total") == 2
    assert [each["answer"] for each in logs if "does not list its payments" in each["event"]] == ["answered 404"]
    sql = await asyncpg.connect(postgres_url)
    try:
        assert await sql.fetchval("select count(*) from payment_reconciliations") == 0
    finally:
        await sql.close()

    settings = env.settings.model_copy(
        update={"reconciliation_interval": timedelta(seconds=1), "reconciliation_window": timedelta(0)}
    )
    schedule = reconciliation(settings)
    await ensure_schedule(env.temporal, schedule)
    handle = env.temporal.get_schedule_handle(schedule.id)
    try:
        first, second = (await _results(env, schedule, 2))[:2]
        assert first.since == second.since
        provider.list_error = None
        found = await eventually(
            lambda: _results(env, schedule, 3), lambda results: any(not each.not_supported for each in results)
        )
    finally:
        await handle.delete()
    compared = next(each for each in found if not each.not_supported)
    assert (compared.since, compared.open.done) == (first.since, True)


async def test_provider_that_is_unavailable_fails_the_reconciliation(workflow_env: WorkflowTestEnv) -> None:
    workflow_env.provider.list_error = ProviderUnavailable("answered 503")
    with pytest.raises(WorkflowFailureError) as failed:
        await ReconciledBooks.of(workflow_env, workflow_env.provider).reconcile()
    assert "answered 503" in str(failed.value.cause)


async def _results(env: WorkflowTestEnv, schedule: WorkflowSchedule, count: int) -> list[ReconciliationProgress]:
    """The results of the completed runs of a schedule, oldest first, once there are so many."""
    query = (
        f'WorkflowType = "{names.RECONCILIATION_WORKFLOW}" AND WorkflowId STARTS_WITH "{schedule.id}"'
        ' AND ExecutionStatus = "Completed"'
    )
    await eventually(lambda: env.temporal.count_workflows(query), lambda found: found.count >= count)
    ids = [found.id async for found in env.temporal.list_workflows(query)]
    results = [
        await env.temporal.get_workflow_handle(each, result_type=ReconciliationProgress).result() for each in ids
    ]
    return sorted(results, key=lambda each: each.until or datetime.max.replace(tzinfo=UTC))


async def test_scheduled_run_begins_where_the_last_completed_one_ended(workflow_env: WorkflowTestEnv) -> None:
    often = timedelta(seconds=1)
    settings = workflow_env.settings.model_copy(
        update={"reconciliation_interval": often, "reconciliation_window": timedelta(0)}
    )
    schedule = reconciliation(settings)
    await ensure_schedule(workflow_env.temporal, schedule)
    handle = workflow_env.temporal.get_schedule_handle(schedule.id)
    try:
        first, second, *_ = await _results(workflow_env, schedule, 2)
    finally:
        await handle.delete()
    assert first.until is not None
    assert second.since == first.until - settings.reconciliation_grace - OVERLAP
