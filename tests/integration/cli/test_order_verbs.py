"""The subcommands of `orderfleet order` against real workers."""

from __future__ import annotations

import asyncio
import json

import yaml

from orderfleet.domain.status import Step
from orderfleet.services.workflow_client import Change
from support.factories import quick_policy
from support.polling import eventually


async def until_review(workflow_env, order_id):
    """Wait until the order store has the order in manual review."""
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)


async def test_order_commands_from_start_to_shipped(orderfleet, workflow_env, order_id):
    started = await orderfleet("order", "start", order_id, "-o", "json")
    assert (started.code, started.document["outcome"]) == (0, "started"), started.err
    await until_review(workflow_env, order_id)

    assert (await orderfleet("order", "query", order_id, "-o", "json")).document["step"] == "manual_review"
    moved = await orderfleet("order", "update-address", order_id, "--street", "2 [Side] St")
    assert (moved.code, moved.out) == (0, f"order {order_id} is going to the new address\n")
    assert "2 [Side] St" in (await orderfleet("order", "status", order_id)).out

    watching = asyncio.create_task(orderfleet("order", "watch", order_id))
    await workflow_env.client.change(order_id, Change.approve())
    watched = await watching
    assert watched.code == 0, watched.err
    assert watched.out.splitlines()[-1].split("  ")[1:3] == ["shipped", "payment CHARGED"]

    assert (await orderfleet("order", "approve", order_id)).code == 4
    assert "package_prepared" in (await orderfleet("order", "events", order_id)).out
    assert yaml.safe_load((await orderfleet("order", "status", order_id, "-o", "yaml")).out)["step"] == "shipped"


async def test_order_commands_accept_the_workflow_id(orderfleet, workflow_env, order_id):
    name = f"order-{order_id}"
    assert (await orderfleet("order", "start", order_id)).code == 0
    await until_review(workflow_env, order_id)
    for verb in ("status", "query", "describe"):
        found = await orderfleet("order", verb, name, "-o", "json")
        assert (found.code, found.document["order_id"]) == (0, order_id), found.err
    history = await orderfleet("order", "history", name, "-o", "json")
    assert {line["workflow_id"] for line in history.document} == {name}
    assert (await orderfleet("order", "events", name)).code == 0
    moved = await orderfleet("order", "update-address", name, "--street", "2 Side St")
    assert (moved.code, moved.out) == (0, f"order {order_id} is going to the new address\n")
    sent = await orderfleet("order", "signal", name, "approve", "-o", "json")
    assert (sent.code, sent.document["order_id"]) == (0, order_id), sent.err
    assert (await orderfleet("order", "watch", name)).code == 0
    for verb in ("approve", "cancel"):
        late = await orderfleet("order", verb, name)
        assert late.code == 4
        assert f"order '{order_id}' has ended" in late.err


async def test_watch_as_json_prints_each_change(orderfleet, workflow_env, order_id):
    await orderfleet("order", "start", order_id)
    await until_review(workflow_env, order_id)
    watching = asyncio.create_task(orderfleet("order", "status", order_id, "--watch", "-o", "json"))
    canceled = await workflow_env.client.change(order_id, Change.cancel("ordered twice"))
    assert canceled == "accepted"
    lines = [json.loads(line) for line in (await watching).out.splitlines()]
    assert (lines[-1]["step"], lines[-1]["cancel_reason"]) == ("canceled", "ordered twice")


async def test_history_has_each_event_of_temporal(orderfleet, workflow_env, order_id):
    await orderfleet("order", "start", order_id)
    await until_review(workflow_env, order_id)
    await workflow_env.client.change(order_id, Change.approve())
    await workflow_env.until(order_id, lambda status: status.ended)

    every = (await orderfleet("order", "history", order_id, "-o", "json")).document
    assert {line["workflow_id"] for line in every} == {f"order-{order_id}", f"shipping-{order_id}-1"}
    assert "ActivityTaskScheduled dispatch_carrier" in {
        f"{line['type']} {line['what'].split(' on ')[0]}" for line in every if line["workflow_id"].startswith("ship")
    }
    lines = (await orderfleet("order", "history", order_id, "--order-only", "-o", "json")).document
    assert lines == [line for line in every if line["workflow_id"] == f"order-{order_id}"]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    events = [f"{line['type']} {line['what']}" for line in lines]
    assert any(text.startswith("WorkflowExecutionStarted OrderWorkflow on ") for text in events)
    assert "MarkerRecorded receive, a local activity" in events
    assert "WorkflowExecutionUpdateAccepted approve" in events
    assert any(text.startswith("ActivityTaskScheduled charge on ") for text in events)
    assert f"ChildWorkflowExecutionCompleted shipping-{order_id}-1" in events
    head, columns, *table = (await orderfleet("order", "history", order_id, "--order-only")).out.splitlines()
    assert head.startswith(f"order-{order_id}  run 1 of 1  ")
    assert columns.split() == ["ID", "TIME", "TYPE", "WHAT"]
    assert len(table) == len(lines)


async def test_history_after_continue_as_new_has_every_run(orderfleet, workflow_env, order_id):
    order = workflow_env.order(order_id, policy=quick_policy(workflow_env.settings, changes_per_run=1))
    handle = await workflow_env.start(order)
    for _ in range(2):
        before = (await handle.describe()).run_id
        await workflow_env.client.change(order_id, Change.update_address(order.address))
        await eventually(handle.describe, lambda found, before=before: found.run_id != before)
    page = await orderfleet("order", "describe", order_id)
    assert "number 3" in page.out, page.out
    await workflow_env.client.change(order_id, Change.cancel("enough"))
    await workflow_env.until_recorded(order_id, lambda status: status.ended)

    lines = (await orderfleet("order", "history", order_id, "-o", "json")).document
    runs = list(dict.fromkeys(line["run_id"] for line in lines))
    assert len(runs) >= 3
    assert runs[0] == handle.first_execution_run_id
    ends = [line for line in lines if line["type"] == "WorkflowExecutionContinuedAsNew"]
    assert [end["what"] for end in ends] == [f"as run {run}" for run in runs[1:]]
    assert lines[-1]["type"] == "WorkflowExecutionCompleted"
    heads = [line for line in (await orderfleet("order", "history", order_id)).out.splitlines() if " run " in line[:99]]
    assert heads[0] == f"order-{order_id}  run 1 of {len(runs)}  {runs[0]}"


async def test_describe_shows_every_source_and_retried_activities(orderfleet, workers, monkeypatch, order_id):
    monkeypatch.setenv("ORDERFLEET_STEP_INITIAL_INTERVAL", "60s")
    monkeypatch.setenv("ORDERFLEET_STEP_MAXIMUM_INTERVAL", "60s")
    monkeypatch.setenv("ORDERFLEET_REVIEW_MODE", "auto")
    async with workers(faults="charge:error=1") as workflow_env:
        await orderfleet("order", "start", order_id)
        await eventually(
            lambda: workflow_env.client.pending(order_id), lambda found: any(each.attempt > 1 for each in found)
        )
        page = await orderfleet("order", "describe", order_id)
        assert page.code == 0, page.err
        for expected in ("DATABASE", "WORKFLOW", "KUBERNETES", "2 of 3", "InjectedFault: injected fault in charge"):
            assert expected in page.out
        assert "kubernetes: the order was started outside Kubernetes" in page.out
        document = (await orderfleet("order", "describe", order_id, "-o", "json")).document
    assert document["database"]["status"]["step"] in {"validate", "charge"}
    assert document["status"]["retries"] == {"charge": 1}
    (pending,) = document["workflow"]["pending"]
    assert (pending["activity"], pending["attempt"], pending["maximum_attempts"]) == ("charge", 2, 3)
    assert document["kubernetes"] is None


async def test_describe_names_unavailable_sources(orderfleet, workers, monkeypatch, order_id):
    async with workers() as workflow_env:
        await orderfleet("order", "start", order_id)
        await until_review(workflow_env, order_id)
    without_workers = (await orderfleet("order", "describe", order_id, "-o", "json")).document
    assert without_workers["unknown"]["workflow"] == "no worker answers its query"
    assert without_workers["workflow"]["state"] == "running"

    monkeypatch.setenv("ORDERFLEET_TEMPORAL_ADDRESS", "127.0.0.1:1")
    without_temporal = (await orderfleet("order", "describe", order_id, "-o", "json")).document
    assert "Temporal could not be reached" in without_temporal["unknown"]["workflow"]
    assert without_temporal["database"]["status"]["step"] == "manual_review"

    monkeypatch.setenv("ORDERFLEET_DATABASE_URL", "postgresql://orderfleet@127.0.0.1:1/orderfleet")
    for verb in ("describe", "status", "list", "events"):
        arguments = [verb] if verb == "list" else [verb, order_id]
        result = await orderfleet("order", *arguments)
        assert (result.code, len(result.err.splitlines())) == (5, 1), f"{verb}: {result.err}"


async def test_list_is_newest_first_and_shows_whether_there_are_more(orderfleet, workflow_env, order_id):
    assert "there are no orders" in (await orderfleet("order", "list")).out
    made = [f"{order_id}-{number}" for number in range(3)]
    for each in made:
        await orderfleet("order", "start", each, "--reference", f"#{each}")
        await until_review(workflow_env, each)
    await workflow_env.client.change(made[0], Change.cancel("x"))
    await workflow_env.until_recorded(made[0], lambda status: status.ended)

    document = (await orderfleet("order", "list", "--limit", "2", "-o", "json")).document
    assert [order["order_id"] for order in document["orders"]] == made[:0:-1]
    assert document["more"] is True
    table = await orderfleet("order", "list", "--limit", "2")
    assert [line.split()[0] for line in table.out.splitlines()[:3]] == ["ORDER", made[2], made[1]]
    assert "there are more; use --limit" in table.out
    canceled = (await orderfleet("order", "list", "--step", "canceled", "-o", "json")).document
    assert ([order["order_id"] for order in canceled["orders"]], canceled["more"]) == ([made[0]], False)
    referenced = await orderfleet("order", "list", "--reference", f"#{made[1]}")
    assert [line.split()[:2] for line in referenced.out.splitlines()] == [
        ["ORDER", "REFERENCE"],
        [made[1], f"#{made[1]}"],
    ]
    for verb in ("status", "describe"):
        assert f"#{made[1]}" in (await orderfleet("order", verb, made[1])).out
    for options in (
        ("--reference", "#"),
        ("--customer", "unknown@example.com"),
        ("--before", "24h"),
        ("--since", "2100-01-01"),
    ):
        assert "no such orders" in (await orderfleet("order", "list", *options)).out
    since = (await orderfleet("order", "list", "--since", "24h", "-o", "json")).document
    assert len(since["orders"]) == len(made)
    wrong = await orderfleet("order", "list", "--since", "yesterday")
    assert wrong.code == 2
    assert "write 24h" in wrong.err


async def test_unknown_order_is_named_in_the_error(orderfleet, workflow_env):
    for verb in ("status", "describe", "history", "events", "watch", "approve"):
        result = await orderfleet("order", verb, "nope")
        assert (result.code, "nope" in result.err, len(result.err.splitlines())) == (3, True, 1), result.err
