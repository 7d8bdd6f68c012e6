"""The recorded histories as files: `tests/histories/<shape>/<life>.<workflow>.json`, one event per line.

A few lives have encrypted payloads, in `<shape>/encrypted`, with a test key. A shape is the behavior of the workflows
of one release. `record.py` records its files once, and they never change, because orders with such a history exist.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

from orderfleet.settings import Settings
from orderfleet.temporal.encryption import data_converter

FOLDER: Final = Path(__file__).parent
COMMANDS: Final = "commands.txt"
"""The file of a shape's fingerprint."""
ENCRYPTED: Final = "encrypted"
"""The folder of a shape's histories with encrypted payloads."""
KEYS: Final = FOLDER / "keys"
KEY_ID: Final = "for-tests-only"
_SHAPE: Final = re.compile(r"\d{4}-[a-z0-9-]+")


@dataclass(frozen=True)
class Recorded:
    """One run of one workflow."""

    shape: str
    name: str
    """The file's name without `.json`."""
    history: WorkflowHistory

    @property
    def workflow_type(self) -> str:
        return self.history.events[0].workflow_execution_started_event_attributes.workflow_type.name


def shapes() -> list[Path]:
    """The folders, oldest first."""
    return sorted(path for path in FOLDER.iterdir() if path.is_dir() and _SHAPE.fullmatch(path.name))


def encrypting_converter() -> DataConverter:
    """The product's data converter with the test key."""
    return data_converter(Settings(encryption_keys_dir=KEYS, encryption_key_id=KEY_ID))


def recorded(shape: Path) -> list[Recorded]:
    """Every run of a shape, by name."""
    found = []
    for path in sorted(shape.glob("*.json")):
        events = [json.loads(line.rstrip(",")) for line in path.read_text(encoding="utf-8").splitlines()[1:-1]]
        # A workflow rejects a start with another workflow id.
        workflow_id = events[0]["workflowExecutionStartedEventAttributes"]["workflowId"]
        history = WorkflowHistory.from_json(workflow_id, {"events": events})
        found.append(Recorded(shape.name, path.stem, history))
    return found


def write(shape: Path, runs: dict[str, WorkflowHistory]) -> None:
    """Write the runs of one life. Values that differ between recordings are replaced."""
    known: dict[str, str] = {}
    for name, history in runs.items():
        events = [_normalized(event, known) for event in json.loads(history.to_json())["events"]]
        lines = ",\n".join(json.dumps(event, separators=(",", ":"), sort_keys=True) for event in events)
        (shape / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEFT_OUT: Final = {"taskId", "identity", "workerVersion", "binaryChecksum"}


def _normalized(event: Any, known: dict[str, str]) -> Any:
    if isinstance(event, dict):
        return {key: _normalized(value, known) for key, value in event.items() if key not in _LEFT_OUT}
    if isinstance(event, list):
        return [_normalized(each, known) for each in event]
    if isinstance(event, str):
        return _UUID.sub(lambda found: known.setdefault(found[0], _uuid(len(known) + 1)), event)
    return event


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"
