"""The first rung: a tool that is on PATH in an acceptable version.

The ladder calls it. Asking a program for its version costs up to a tenth of a second, so the
answer is remembered in the cache folder for as long as the file doesn't change. It must never
take a program whose version it couldn't read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from orderfleet.stack.provision import linked
from orderfleet.stack.provision.catalog import Tool
from orderfleet.stack.provision.errors import RungFailed

_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?")
_SECONDS_TO_ANSWER = 10


def find(tool: Tool, cache_folder: Path) -> Path:
    """Return the tool on PATH.

    Raises:
        RungFailed: it isn't there, its version isn't acceptable, or a module it is linked with has a fault.
    """
    found = shutil.which(tool.name)
    if found is None:
        raise RungFailed("not on PATH")
    if tool.on_path is None:
        raise RungFailed(f"{found} can't tell its version")
    path = Path(found)
    text = _version_text(path, tool.on_path.arguments, cache_folder / "path-versions.json")
    match = _VERSION.search(text)
    if match is None:
        raise RungFailed(f"{found} doesn't tell its version")
    version = tuple(int(part) for part in match.groups(default="0"))
    if not tool.on_path.oldest <= version < tool.on_path.below:
        wanted = ".".join(map(str, tool.on_path.oldest))
        limit = ".".join(map(str, tool.on_path.below))
        raise RungFailed(f"{found} is {match[0]}, wanted {wanted} or newer, older than {limit}")
    fault = linked.fault(tool, path)
    if fault is not None:
        raise RungFailed(f"{found} isn't taken: {fault}")
    return path


def _version_text(path: Path, arguments: tuple[str, ...], memo: Path) -> str:
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    known = _read(memo)
    if key in known:
        return known[key]
    try:
        answer = subprocess.run(
            [path, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS_TO_ANSWER,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RungFailed(f"{path} doesn't run: {error}") from error
    text = answer.stdout + answer.stderr
    _write(memo, {**_read(memo), key: text})
    return text


def _read(memo: Path) -> dict[str, str]:
    try:
        content = json.loads(memo.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(memo: Path, content: dict[str, str]) -> None:
    memo.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".versions-", dir=memo.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    Path(name).replace(memo)
