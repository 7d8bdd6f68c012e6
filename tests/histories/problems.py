"""Problems of a change of workflow code, with advice."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from histories.commands import Replay
from histories.shapes import COMMANDS, Recorded

ADVICE: Final = """
Orders in progress started with this shape, and the changed code must continue them. Either
  put the change behind `if workflow.patched("what-changed"):` and keep the old branch in the `else`, then
  record the new branch: make histories SHAPE=NNNN-what-changed
or, if running orders may behave differently and every history is replayed, write the fingerprint again:
  make histories SHAPE=--commands
See deploy/docs/upgrades.md."""

RECORD: Final = """
No recorded history has the new branch, so no test would find the next change that breaks it:
let a life in tests/histories/lives.py take it, and record: make histories SHAPE=NNNN-what-changed"""


def replay_failures(shape: Path, result: Replay) -> str | None:
    """Why orders of this shape would be blocked; None if they replay."""
    if not result.failures:
        return None
    lines = [f"  {name}: {reason}" for name, reason in sorted(result.failures.items())]
    return "\n".join([f"the workflows can't replay histories of {shape.name}:", *lines, ADVICE])


def changed_commands(shape: Path, result: Replay) -> str | None:
    """The difference between the commands and the shape's fingerprint; None if they are equal."""
    recorded, current = (shape / COMMANDS).read_text(encoding="utf-8"), result.text()
    if recorded == current:
        return None
    diff = difflib.unified_diff(
        recorded.splitlines(), current.splitlines(), f"{shape.name}/{COMMANDS}", "current", lineterm="", n=2
    )
    return "\n".join([f"the workflows' commands differ from those of {shape.name} did:", *diff, ADVICE])


def unrecorded_patches(sources: Iterable[str], runs: Sequence[Recorded]) -> str | None:
    """Patches of the code that no recorded history has; None if there are none."""
    missing = sorted({each for source in sources for each in _patches(source)} - _recorded_patches(runs))
    return f"patches that no history has: {', '.join(missing)}{RECORD}" if missing else None


def _patches(source: str) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "patched"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def _recorded_patches(runs: Sequence[Recorded]) -> set[str]:
    markers = [
        event.marker_recorded_event_attributes
        for run in runs
        for event in run.history.events
        if event.HasField("marker_recorded_event_attributes")
    ]
    details = [marker.details for marker in markers if marker.marker_name == "core_patch"]
    payloads = [payload for each in details for found in each.values() for payload in found.payloads]
    return {json.loads(payload.data)["id"] for payload in payloads}
