"""What is wrong with a change of workflow code, and what to do about it. `test_replay.py` asks."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from commands import Played
from shapes import COMMANDS, Recorded

ADVICE: Final = """
There are orders under way that began with this shape, and the changed code has to go on with them. Either
  put the change behind `if workflow.patched("what-changed"):` and keep the old branch in the `else`, then
  record the new branch: python tests/histories/record.py NNNN-what-changed
or, if running orders may do this otherwise and every history is replayed, write the fingerprint anew:
  python tests/histories/record.py --commands
deploy/docs/upgrades.md says more."""

RECORD: Final = """
No recorded history has been through the new branch, so nothing would find the next change that breaks it:
let a life in tests/histories/lives.py go through it, and record: python tests/histories/record.py NNNN-what-changed"""


def cannot_replay(shape: Path, played: Played) -> str | None:
    """Why orders of this shape would stand still."""
    if not played.refused:
        return None
    lines = [f"  {name}: {why}" for name, why in sorted(played.refused.items())]
    return "\n".join([f"the workflows can't replay histories of {shape.name}:", *lines, ADVICE])


def acts_otherwise(shape: Path, played: Played) -> str | None:
    """How the commands differ from the shape's fingerprint."""
    then, now = (shape / COMMANDS).read_text(encoding="utf-8"), played.text()
    if then == now:
        return None
    diff = difflib.unified_diff(
        then.splitlines(), now.splitlines(), f"{shape.name}/{COMMANDS}", "now", lineterm="", n=2
    )
    return "\n".join([f"the workflows do other things than orders of {shape.name} did:", *diff, ADVICE])


def unrecorded(sources: Iterable[str], runs: Sequence[Recorded]) -> str | None:
    """Patches of the code that no recorded history has taken."""
    missing = sorted({each for source in sources for each in _patches(source)} - _taken(runs))
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


def _taken(runs: Sequence[Recorded]) -> set[str]:
    markers = [
        event.marker_recorded_event_attributes
        for run in runs
        for event in run.history.events
        if event.HasField("marker_recorded_event_attributes")
    ]
    details = [marker.details for marker in markers if marker.marker_name == "core_patch"]
    payloads = [payload for each in details for found in each.values() for payload in found.payloads]
    return {json.loads(payload.data)["id"] for payload in payloads}
