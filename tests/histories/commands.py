"""What the present code does when a recorded history is played to it: its commands, one line each.

`record.py` writes them down as the shape's fingerprint; `test_replay.py` holds the code against it. Ids, times and
contents are left out: what stands is kind, name, and where it goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message
from shapes import Recorded
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner

from orderfleet.orders import worker as orders_worker
from orderfleet.shipping import worker as shipping_worker
from orderfleet.temporal.data_converter import DATA_CONVERTER

WORKFLOWS: Final = (*orders_worker.WORKFLOWS, *shipping_worker.WORKFLOWS)
"""Every workflow of the product."""


@dataclass
class Played:
    """What came of playing histories to the present code."""

    commands: dict[str, list[str]] = field(default_factory=dict)
    """By the run's name."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a run can't be replayed, by its name."""

    def text(self) -> str:
        """The fingerprint: a block for each run."""
        blocks = ["\n".join([name, *(f"  {line}" for line in lines)]) for name, lines in sorted(self.commands.items())]
        return "\n\n".join(blocks) + "\n"


async def play(
    runs: Sequence[Recorded], workflows: Sequence[type], converter: DataConverter = DATA_CONVERTER
) -> Played:
    """Play each run to the workflows' present code."""
    runner = _Listening()
    replayer = Replayer(workflows=workflows, data_converter=converter, workflow_runner=runner)
    played = Played()

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for run in runs:
            yield run.history

    async with replayer.workflow_replay_iterator(histories()) as results:
        at = iter(runs)
        async for result in results:
            run = next(at)
            played.commands[run.name] = list(runner.commands.pop(result.history.workflow_id, []))
            if result.replay_failure is not None:
                played.refused[run.name] = str(result.replay_failure)
    return played


class _Listening(WorkflowRunner):
    """Runs workflows as workers do, and writes down their commands by the history's id."""

    def __init__(self) -> None:
        self._runner = UnsandboxedWorkflowRunner()
        self.commands: dict[str, list[str]] = defaultdict(list)

    def prepare_workflow(self, defn: Any) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: Any) -> Any:
        instance = self._runner.create_instance(det)
        commands = self.commands[det.info.workflow_id]
        activate = instance.activate

        def listen(activation: Any) -> Any:
            completion = activate(activation)
            commands.extend(filter(None, map(told, completion.successful.commands)))
            return completion

        instance.activate = listen  # type: ignore[method-assign]
        return instance


def told(command: Any) -> str | None:
    """One command in a line; None for what only answers a query."""
    kind = command.WhichOneof("variant")
    content: Message = getattr(command, kind)
    if kind == "respond_to_query":
        return None
    words = [kind.replace("_", " ")]
    for name in _SAID:
        value = getattr(content, name, "")
        if isinstance(value, str) and value and not value.startswith("replay-"):
            words.append(value)
    if kind == "update_response":
        words.append(str(content.WhichOneof("response")))  # type: ignore[attr-defined]
    return " ".join(words)


# A task queue that begins with `replay-` is the workflow's own.
_SAID = ("activity_type", "workflow_type", "signal_name", "patch_id", "task_queue")
