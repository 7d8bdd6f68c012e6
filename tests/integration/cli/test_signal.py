"""`orderfleet order signal`, with arguments and interactively."""

from __future__ import annotations

import asyncio
import os
import pty
import sys

import pytest

from orderfleet.domain.status import Step


async def until_step(workflow_env, order_id, step):
    return await workflow_env.until_recorded(order_id, lambda status: status.step is step)


@pytest.mark.parametrize(
    ("arguments", "step", "reason"),
    [
        (["approve"], Step.SHIPPED, None),
        (["cancel", "--reason", "ordered twice"], Step.CANCELED, "ordered twice"),
        (["cancel-payment"], Step.CANCELED, "canceled on request"),
    ],
)
async def test_signal_is_applied_by_the_order(orderfleet, workflow_env, order_id, arguments, step, reason):
    await orderfleet("order", "start", order_id)
    await until_step(workflow_env, order_id, Step.MANUAL_REVIEW)
    result = await orderfleet("order", "signal", order_id, *arguments)
    assert result.code == 0, result.err
    assert f"was sent {arguments[0]}" in result.out
    assert (await until_step(workflow_env, order_id, step)).cancel_reason == reason


async def test_signal_without_a_worker_is_applied_once_one_runs(orderfleet, workers, order_id):
    await orderfleet("order", "start", order_id)
    assert (await orderfleet("order", "signal", order_id, "approve", "-o", "json")).document["result"] == "sent"
    async with workers() as workflow_env:
        await until_step(workflow_env, order_id, Step.SHIPPED)
    again = await orderfleet("order", "signal", order_id, "approve")
    assert (again.code, "has ended: shipped" in again.err) == (4, True)


async def test_signal_with_a_part_of_an_address_keeps_the_other_parts(orderfleet, workflow_env, order_id):
    await orderfleet("order", "start", order_id)
    before = await until_step(workflow_env, order_id, Step.MANUAL_REVIEW)
    assert (await orderfleet("order", "signal", order_id, "update-address")).code == 2
    assert (await orderfleet("order", "signal", order_id, "update-address", "--street", "2 Side St")).code == 0
    moved = await workflow_env.until_recorded(order_id, lambda status: status.address != before.address)
    assert moved.address == before.address.model_copy(update={"street": "2 Side St"})


async def test_signal_without_arguments_or_terminal_names_them(orderfleet):
    result = await orderfleet("order", "signal")
    assert result.code == 2
    assert result.err == "orderfleet: give an order and a signal, as in `orderfleet order signal ord-1 approve`\n"


async def test_signal_on_a_terminal_prompts_for_order_and_signal(orderfleet, workflow_env, environment, order_id):
    await orderfleet("order", "start", order_id)
    await until_step(workflow_env, order_id, Step.MANUAL_REVIEW)
    controller, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", "order", "signal"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **environment},
    )
    os.close(terminal)
    shown = await asyncio.to_thread(
        _answer, controller, {"Which order": order_id, "Which signal": "cancel", "Why": "moved"}
    )
    assert await process.wait() == 0, shown
    assert order_id in shown.split("Which order")[0]
    assert (await until_step(workflow_env, order_id, Step.CANCELED)).cancel_reason == "moved"


def _answer(terminal: int, answers: dict[str, str]) -> str:
    """Type each answer when its question is shown; return all output."""
    shown, waiting = "", dict(answers)
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:
            # The other end of the terminal is closed.
            read = b""
        if not read:
            os.close(terminal)
            return shown
        shown += read.decode()
        for question in [each for each in waiting if each in shown and shown.rstrip().endswith("]:")]:
            os.write(terminal, f"{waiting.pop(question)}\n".encode())
            break
