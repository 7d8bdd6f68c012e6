"""Builds of the workers with different code, and their deployment by Temporal's command line."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths
from support.polling import eventually

PACKAGE = paths.checkout() / "workers" / "orderfleet"


@dataclass(frozen=True)
class Edit:
    """A text of one module, and its replacement in another build; checked when pytest collects the tests."""

    module: str
    before: str
    after: str

    def __post_init__(self) -> None:
        text = (PACKAGE / self.module).read_text()
        assert text.count(self.before) == 1, f"{self.module} has changed: update the edit"


def changed(folder: Path, *edits: Edit) -> str:
    """Copy the package into `folder` and edit it; its PYTHONPATH."""
    root = folder / "workers"
    shutil.copytree(PACKAGE, root / "orderfleet", ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        module = root / "orderfleet" / edit.module
        module.write_text(module.read_text().replace(edit.before, edit.after))
    return str(root)


class Deployment:
    """A Worker Deployment of one test, by the commands of `deploy/docs/upgrades.md`."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._address = address
        self._program = provide(["temporal"])["temporal"]

    async def promote(self, build: str) -> None:
        """Make a build current when its workers poll."""
        await self._retry("set-current-version", "--build-id", build, "--yes")

    async def ramp(self, build: str, percentage: int) -> None:
        """Set the share of a build when its workers poll."""
        await self._retry("set-ramping-version", "--build-id", build, "--percentage", str(percentage), "--yes")

    async def roll_back(self, build: str) -> None:
        """Remove the share of a build."""
        await self._retry("set-ramping-version", "--build-id", build, "--delete", "--yes")

    async def pin(self, workflow_id: str, build: str) -> None:
        """Pin a workflow to a build."""
        code, text = await self._temporal("workflow", "update-options", "--workflow-id", workflow_id, *self._to(build))
        assert code == 0, text

    async def pin_patched(self, workflow_id: str, patch: str, build: str) -> None:
        """Pin a workflow that took a patch, by a batch operation."""
        query = f'TemporalChangeVersion = "{patch}" AND ExecutionStatus = "Running" AND WorkflowId = "{workflow_id}"'
        await eventually(
            lambda: self._temporal("workflow", "count", "--query", query), lambda result: "Total: 1" in result[1]
        )
        code, text = await self._temporal("workflow", "update-options", "--query", query, "--yes", *self._to(build))
        assert code == 0, text
        await eventually(
            lambda: self._temporal("workflow", "describe", "--workflow-id", workflow_id),
            lambda result: "OverridePinnedVersionBuildId" in result[1],
        )

    def _to(self, build: str) -> tuple[str, ...]:
        override = ("--versioning-override-deployment-name", self.name, "--versioning-override-build-id", build)
        return ("--versioning-override-behavior", "pinned", *override)

    async def drained(self, build: str) -> None:
        """Wait until no workflow is pinned to a build."""
        await eventually(lambda: self._drainage(build), lambda state: state == "drained", 180)

    async def _drainage(self, build: str) -> str:
        _, text = await self._run("describe-version", "--build-id", build, "--output", "json")
        return json.loads(text).get("drainageInfo", {}).get("drainageStatus", "")

    async def _retry(self, *arguments: str) -> None:
        await eventually(lambda: self._run(*arguments), lambda answer: answer[0] == 0, 120)

    async def _run(self, command: str, *arguments: str) -> tuple[int | None, str]:
        return await self._temporal("worker", "deployment", command, "--deployment-name", self.name, *arguments)

    async def _temporal(self, *arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            str(self._program),
            *(*arguments, "--address", self._address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, (out or err).decode()


async def builds_of(client: Client, workflow_id: str) -> Counter[str]:
    """Number of workflow tasks of a workflow, by build."""
    counted: Counter[str] = Counter()
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.HasField("workflow_task_completed_event_attributes"):
            counted[event.workflow_task_completed_event_attributes.deployment_version.build_id] += 1
    return counted


async def activities_of(client: Client, workflow_id: str) -> list[str]:
    """The activities of a workflow: regular ones in the order of scheduling, local ones of completion."""
    found = []
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            found.append(event.activity_task_scheduled_event_attributes.activity_type.name)
        marker = event.marker_recorded_event_attributes
        if marker.marker_name == "core_local_activity":
            found.append(json.loads(marker.details["data"].payloads[0].data)["activity_type"])
    return found


async def gathered(coroutines: Any) -> list[Any]:
    """All results, with a few calls at a time because the machine is shared."""
    limit = asyncio.Semaphore(8)

    async def one(coroutine: Any) -> Any:
        async with limit:
            return await coroutine

    return list(await asyncio.gather(*(one(each) for each in coroutines)))
