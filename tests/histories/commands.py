"""Replays recorded histories and lists the commands of the current code, one line each.

`record.py` stores these lines as the shape's fingerprint; `test_replay.py` compares the code with it. A line has a
command's kind, name and target, without ids, times and contents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner

from histories.shapes import Recorded
from orderfleet.orders import worker as orders_worker
from orderfleet.shipping import worker as shipping_worker
from orderfleet.temporal.data_converter import DATA_CONVERTER

WORKFLOWS: Final = (*orders_worker.WORKFLOWS, *shipping_worker.WORKFLOWS)
"""Every workflow of the product."""


@dataclass
class Replay:
    """The result of replaying histories with the current code."""

    commands: dict[str, list[str]] = field(default_factory=dict)
    """By the run's name."""
    failures: dict[str, str] = field(default_factory=dict)
    """By the run's name: why it cannot be replayed."""

    def text(self) -> str:
        """The fingerprint: a block for each run."""
        blocks = ["\n".join([name, *(f"  {line}" for line in lines)]) for name, lines in sorted(self.commands.items())]
        return "\n\n".join(blocks) + "\n"


async def replay(
    runs: Sequence[Recorded], workflows: Sequence[type], converter: DataConverter = DATA_CONVERTER
) -> Replay:
    """Replay each run with the workflows' current code."""
    runner = _CommandRecorder()
    replayer = Replayer(workflows=workflows, data_converter=converter, workflow_runner=runner)
    result = Replay()

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for run in runs:
            yield run.history

    async with replayer.workflow_replay_iterator(histories()) as results:
        remaining = iter(runs)
        async for each in results:
            run = next(remaining)
            result.commands[run.name] = list(runner.commands.pop(each.history.workflow_id, []))
            if each.replay_failure is not None:
                result.failures[run.name] = str(each.replay_failure)
    return result


class _CommandRecorder(WorkflowRunner):
    """Runs workflows as workers do, and records their commands by workflow id."""

    def __init__(self) -> None:
        self._runner = UnsandboxedWorkflowRunner()
        self.commands: dict[str, list[str]] = defaultdict(list)

    def prepare_workflow(self, defn: Any) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: Any) -> Any:
        instance = self._runner.create_instance(det)
        commands = self.commands[det.info.workflow_id]
        activate = instance.activate

        def record(activation: Any) -> Any:
            completion = activate(activation)
            commands.extend(filter(None, map(describe, completion.successful.commands)))
            return completion

        instance.activate = record  # type: ignore[method-assign]
        return instance


def describe(command: Any) -> str | None:
    """One command as a line; None for an answer to a query."""
    kind = command.WhichOneof("variant")
    content: Message = getattr(command, kind)
    if kind == "respond_to_query":
        return None
    parts = [kind.replace("_", " ")]
    for name in _TARGETS:
        value = getattr(content, name, "")
        if isinstance(value, str) and value and not value.startswith("replay-"):
            parts.append(value)
    if kind == "update_response":
        parts.append(str(content.WhichOneof("response")))  # type: ignore[attr-defined]
    return " ".join(parts)


# A task queue that begins with `replay-` is the workflow's own.
_TARGETS = ("activity_type", "workflow_type", "signal_name", "patch_id", "task_queue")
