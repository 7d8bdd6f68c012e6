"""The current code replays the recorded histories of every shape with the same commands."""

from __future__ import annotations

import base64
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow

from histories.commands import WORKFLOWS, Replay, replay
from histories.problems import changed_commands, replay_failures, unrecorded_patches
from histories.shapes import ENCRYPTED, encrypting_converter, recorded, shapes
from orderfleet.domain import names
from orderfleet.domain.shipment import ShippingInput, ShippingResult
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.temporal.encryption import ENCODING
from orderfleet_local.stack import paths

NEWEST = shapes()[-1]
DO = ('workflow.patched("', "make histories SHAPE=NNNN-what-changed")
"""Parts of the advice in a message."""


@pytest.mark.parametrize("shape", shapes(), ids=lambda path: path.name)
async def test_recorded_history_is_replayed_with_the_same_commands(shape: Path) -> None:
    result = await replay(recorded(shape), WORKFLOWS)
    for problem in (replay_failures(shape, result), changed_commands(shape, result)):
        assert problem is None, problem


@pytest.mark.parametrize(
    "shape", [each for each in shapes() if (each / ENCRYPTED).is_dir()], ids=lambda path: path.name
)
async def test_encrypted_history_is_replayed_with_the_same_commands(shape: Path) -> None:
    encrypted = shape / ENCRYPTED
    written = "".join(path.read_text() for path in encrypted.glob("*.json"))
    contents = [base64.b64decode(each) for each in re.findall(r'"data":"([^"]*)"', written)]
    assert base64.b64encode(ENCODING).decode() in written
    assert not [each for each in contents if b"Springfield" in each or b"no vans" in each]
    result = await replay(recorded(encrypted), WORKFLOWS, encrypting_converter())
    for problem in (replay_failures(encrypted, result), changed_commands(encrypted, result)):
        assert problem is None, problem


def test_newest_shape_has_every_workflow() -> None:
    has = {run.workflow_type for run in recorded(NEWEST)}
    assert has == {workflow._Definition.must_from_class(each).name for each in WORKFLOWS}


def test_every_patch_is_in_a_recorded_history() -> None:
    sources = [path.read_text() for path in (paths.checkout() / "workers").rglob("*.py")]
    problem = unrecorded_patches(sources, [run for each in shapes() for run in recorded(each)])
    assert problem is None, problem


class Changed(ShippingWorkflow):
    """A shipping workflow that dispatches the package before it prepares it."""

    async def _ship(self, given: ShippingInput) -> ShippingResult:
        result = await self._dispatch(given)
        await self._prepare(given)
        return result


@workflow.defn(name=names.SHIPPING_WORKFLOW)
class Unpatched(Changed):
    @workflow.init
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)

    @workflow.run
    async def run(self, *args: Any) -> ShippingResult:
        return await super().run(*args)


@workflow.defn(name=names.SHIPPING_WORKFLOW)
class Patched(Changed):
    @workflow.init
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)

    @workflow.run
    async def run(self, *args: Any) -> ShippingResult:
        return await super().run(*args)

    async def _ship(self, given: ShippingInput) -> ShippingResult:
        if workflow.patched("dispatch-first"):
            return await super()._ship(given)
        return await ShippingWorkflow._ship(self, given)


async def _replay_with(changed: type) -> Replay:
    others = [each for each in WORKFLOWS if each is not ShippingWorkflow]
    return await replay(recorded(NEWEST), [*others, changed])


async def test_reordered_steps_are_reported_with_advice() -> None:
    result = await _replay_with(Unpatched)
    for problem in (replay_failures(NEWEST, result), changed_commands(NEWEST, result)):
        assert problem is not None
        assert all(each in problem for each in DO)
        assert "shipped.shipping-1" in problem
    problem = changed_commands(NEWEST, result)
    assert problem is not None
    assert "-  schedule local activity prepare_package\n" in problem


async def test_patched_change_replays_old_histories_and_must_be_recorded() -> None:
    result = await _replay_with(Patched)
    assert replay_failures(NEWEST, result) is None
    assert changed_commands(NEWEST, result) is None
    problem = unrecorded_patches([inspect.getsource(Patched)], recorded(NEWEST))
    assert problem is not None
    assert "dispatch-first" in problem
    assert DO[1] in problem
