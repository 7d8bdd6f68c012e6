"""Orders that began with an earlier shape of the workflows go on with the present code, or the change is told."""

from __future__ import annotations

import base64
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from commands import WORKFLOWS, Played, play
from shapes import SEALED, recorded, sealing, shapes
from temporalio import workflow
from verdicts import acts_otherwise, cannot_replay, unrecorded

from orderfleet.domain import names
from orderfleet.domain.shipment import ShippingInput, ShippingResult
from orderfleet.shipping.workflow import ShippingWorkflow
from orderfleet.temporal.encryption import ENCODING
from orderfleet_local.stack import paths

NEWEST = shapes()[-1]
DO = ('workflow.patched("', "python tests/histories/record.py NNNN-what-changed")
"""What a message must tell to do."""


@pytest.mark.parametrize("shape", shapes(), ids=lambda path: path.name)
async def test_every_recorded_history_is_replayed_to_the_same_commands(shape: Path) -> None:
    played = await play(recorded(shape), WORKFLOWS)
    for problem in (cannot_replay(shape, played), acts_otherwise(shape, played)):
        assert problem is None, problem


@pytest.mark.parametrize("shape", [each for each in shapes() if (each / SEALED).is_dir()], ids=lambda path: path.name)
async def test_histories_with_encrypted_payloads_are_replayed_too(shape: Path) -> None:
    sealed = shape / SEALED
    written = "".join(path.read_text() for path in sealed.glob("*.json"))
    contents = [base64.b64decode(each) for each in re.findall(r'"data":"([^"]*)"', written)]
    assert base64.b64encode(ENCODING).decode() in written
    assert not [each for each in contents if b"Springfield" in each or b"no vans" in each]
    played = await play(recorded(sealed), WORKFLOWS, sealing())
    for problem in (cannot_replay(sealed, played), acts_otherwise(sealed, played)):
        assert problem is None, problem


def test_the_newest_shape_has_every_workflow() -> None:
    has = {run.workflow_type for run in recorded(NEWEST)}
    assert has == {workflow._Definition.must_from_class(each).name for each in WORKFLOWS}


def test_every_patch_has_been_taken_in_a_recorded_history() -> None:
    sources = [path.read_text() for path in (paths.checkout() / "workers").rglob("*.py")]
    problem = unrecorded(sources, [run for each in shapes() for run in recorded(each)])
    assert problem is None, problem


class Changed(ShippingWorkflow):
    """The shipping workflow, which hands the package over before it is prepared."""

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


async def _played(changed: type) -> Played:
    others = [each for each in WORKFLOWS if each is not ShippingWorkflow]
    return await play(recorded(NEWEST), [*others, changed])


async def test_steps_in_another_order_are_told_with_what_to_do() -> None:
    played = await _played(Unpatched)
    for problem in (cannot_replay(NEWEST, played), acts_otherwise(NEWEST, played)):
        assert problem is not None
        assert all(each in problem for each in DO)
        assert "shipped.shipping-1" in problem
    told = acts_otherwise(NEWEST, played)
    assert told is not None
    assert "-  schedule local activity prepare_package\n" in told


async def test_a_patched_change_goes_on_with_old_orders_and_has_to_be_recorded() -> None:
    played = await _played(Patched)
    assert cannot_replay(NEWEST, played) is None
    assert acts_otherwise(NEWEST, played) is None
    problem = unrecorded([inspect.getsource(Patched)], recorded(NEWEST))
    assert problem is not None
    assert "dispatch-first" in problem
    assert DO[1] in problem
