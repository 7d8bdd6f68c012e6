"""Every request that earlier systems print does on a local stack what the table expects, in each of three ways."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from orderfleet_local.stack import paths, state
from support.earlier_requests import REQUESTS, EarlierRequest, RawCall, differences
from support.polling import eventually
from support.stack_folders import BIN, CHECKOUT, stack_environment

WAITING = '["ord-1", "pay-1", [{"sku": "ABC", "qty": 1}], {"street": "123 Main St", "city": "San Francisco"}]'
"""Arguments of the order that a row with `waiting` changes or reads."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("earlier requests")]

WAYS = [
    *(pytest.param(row, row.curl, id=f"{row.name}: curl") for row in REQUESTS),
    *(pytest.param(row, row.cli, id=f"{row.name}: command line") for row in REQUESTS if row.cli),
]
RAW = [pytest.param(row, text, id=f"{row.name}: {text.partition(' [')[0]}") for row in REQUESTS for text in row.raw]


@dataclass(frozen=True)
class Stack:
    """A stack that runs as after `make up`."""

    environment: dict[str, str]
    api_url: str
    temporal_address: str


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with stack_environment() as environment:
        shell_in(environment, "orderfleet stack up")
        started = state.load(Path(environment[paths.STATE_VARIABLE]))
        assert started is not None
        yield Stack(environment, started.api_url, started.temporal_address)
        shell_in(environment, "orderfleet stack down")


def shell_in(environment: dict[str, str], command: str) -> str:
    path = {"PATH": f"{BIN}:{environment['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=CHECKOUT,
        env=environment | path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Names:
    """The ids that stand for ord-1 and pay-1 in one run of a row."""

    order_id: str
    api_url: str = ""

    def put_in(self, text: str) -> str:
        with_payment = text.replace("pay-1", f"paid-{self.order_id}").replace("pay-ord-1", f"pay-{self.order_id}")
        return with_payment.replace("ord-1", self.order_id).replace("http://localhost:8000", self.api_url)

    def put_in_values(self, expected: Any) -> Any:
        return json.loads(self.put_in(json.dumps(expected)))


@pytest.fixture
def names(stack: Stack) -> Names:
    return Names(uuid.uuid4().hex[:8], stack.api_url)


async def call(client: Client, names: Names, text: str) -> Any:
    """Send a raw call and return the answer of a query."""
    raw = RawCall.read(names.put_in(text))
    workflow_id = f"order-{names.order_id}"
    if raw.kind == "start":
        await client.start_workflow("OrderWorkflow", args=raw.arguments, id=workflow_id, task_queue="orders-tq")
        return None
    order = client.get_workflow_handle(workflow_id)
    if raw.kind == "signal":
        return await order.signal(raw.name, args=raw.arguments)
    return await order.query(raw.name, args=raw.arguments)


async def until_as_expected(stack: Stack, names: Names, expected: Any) -> None:
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as api:

        async def differing() -> list[str]:
            answer = await api.get(f"/orders/{names.order_id}/status")
            return differences(answer.json(), names.put_in_values(expected))

        await eventually(differing, lambda lines: not lines, interval=0.1)


@pytest.fixture
async def client(stack: Stack) -> Client:
    return await Client.connect(stack.temporal_address)


async def prepare(client: Client, stack: Stack, names: Names, request: EarlierRequest) -> None:
    if request.waiting:
        await call(client, names, f"start {WAITING}")
        await until_as_expected(stack, names, {"step": "manual_review"})


@pytest.mark.parametrize(("request_", "command"), WAYS)
async def test_printed_command_does_what_the_table_expects(stack, client, names, request_, command):
    await prepare(client, stack, names, request_)
    is_curl = command == request_.curl
    shell = f"{command.rstrip()} -sS -w '\\n%{{http_code}}'" if is_curl else command
    output = shell_in(stack.environment, names.put_in(shell))
    if is_curl:
        document, _, status = output.rpartition("\n")
        assert int(status) == request_.status, output
        answer = json.loads(document)
        # A request without an id gets a new one.
        names = Names(answer["order_id"], stack.api_url)
        assert not differences(answer, names.put_in_values(request_.answer))
    elif "-o json" in command:
        assert not differences(json.loads(output), names.put_in_values(request_.answer))
    await until_as_expected(stack, names, request_.order)


@pytest.mark.parametrize(("request_", "text"), RAW)
async def test_raw_call_does_what_the_table_expects(stack, client, names, request_, text):
    await prepare(client, stack, names, request_)
    answer = await call(client, names, text)
    if text.startswith("query"):
        assert not differences(answer, names.put_in_values(request_.answer))
    await until_as_expected(stack, names, request_.order)
