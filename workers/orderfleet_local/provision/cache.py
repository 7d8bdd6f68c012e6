"""The tool cache: one folder a tool and version, published whole or not at all.

The ladder looks up and publishes tools here. A tool is made in a folder with a temporary name
beside its final place and renamed when it is complete, under an exclusive lock per tool, so
that a run that is killed never leaves a broken binary and two runs never make the same one.
It must never change a published folder.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet_local.provision.catalog import Tool
from orderfleet_local.provision.progress import StrategyFailed

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

_LOCK_STEP = 0.1


def system() -> tuple[str, str]:
    """Return this machine's operating system and architecture as releases spell them."""
    machine = platform.machine().lower()
    return platform.system().lower(), _ARCHITECTURES.get(machine, machine)


class Cache:
    """Published tools below one folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is created when something is written."""
        self.folder = folder

    def place(self, tool: Tool) -> Path:
        """Return the folder that holds, or would hold, the published tool."""
        return self.folder / tool.name / "-".join((tool.edition, *system()))

    def find(self, tool: Tool) -> Path | None:
        """Return the published executable, or None."""
        executable = self.place(tool) / tool.name
        return executable if executable.is_file() else None

    @contextmanager
    def locked(self, tool: Tool) -> Iterator[None]:
        """Hold the tool's lock; waits while another run holds it.

        The kernel frees the lock of a process that dies.
        """
        folder = self.folder / tool.name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_LOCK_STEP)
                else:
                    break
            yield

    @contextmanager
    def workshop(self, tool: Tool) -> Iterator[Path]:
        """Give a folder to make the tool in; publish it when the block ends without error.

        The caller holds the tool's lock, so every other temporary folder is the remains of a run
        that was killed, and is removed. The block leaves an executable named like the tool.
        """
        place = self.place(tool)
        for remains in place.parent.glob(".making-*"):
            shutil.rmtree(remains, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
        try:
            yield folder
            executable = folder / tool.name
            executable.chmod(0o755)
            folder.chmod(0o755)
            with executable.open("rb") as file:
                os.fsync(file.fileno())
            folder.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


_LINE_BYTES = 512

_LINKED_VERSION = re.compile(rb"[^\t\n]*?v(\d+)\.(\d+)\.(\d+)[^\n]*(?:\n=>\t[^\t\n]+\tv(\d+)\.(\d+)\.(\d+))?")


def linked_version(program: Path, module: str) -> tuple[int, ...] | None:
    """Return the version of `module` in `program`, that of its replacement if it has one.

    Returns:
        None if the program is not made by Go or is not linked with the module.
    """
    with program.open("rb") as file:
        if file.seek(0, 2) == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            name = f"\ndep\t{module}\t".encode()
            begin = content.find(name)
            found = _LINKED_VERSION.match(content[begin + len(name) : begin + _LINE_BYTES]) if begin >= 0 else None
    if found is None:
        return None
    numbers = found.groups()[3:] if found[4] else found.groups()[:3]
    return tuple(int(number) for number in numbers)


def driver_fault(tool: Tool, program: Path) -> str | None:
    """Return why `program` is worse than the pinned build of `tool`; None if it is not."""
    if tool.linked is None:
        return None
    found = linked_version(program, tool.linked.path)
    if found is not None and found >= tool.linked.oldest:
        return None
    wanted = ".".join(map(str, tool.linked.oldest))
    shown = "in a version that it does not show" if found is None else f"v{'.'.join(map(str, found))}"
    return f"it is linked with {tool.linked.path} {shown}, wanted v{wanted} or newer: {tool.linked.fault}"


_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?")

_SECONDS_TO_ANSWER = 10


def find(tool: Tool, cache_folder: Path) -> Path:
    """Return the tool on PATH.

    Raises:
        StrategyFailed: it isn't there, its version isn't acceptable, or a module it is linked with has a fault.
    """
    found = shutil.which(tool.name)
    if found is None:
        raise StrategyFailed("not on PATH")
    if tool.on_path is None:
        raise StrategyFailed(f"{found} can't tell its version")
    path = Path(found)
    text = _version_text(path, tool.on_path.arguments, cache_folder / "path-versions.json")
    match = _VERSION.search(text)
    if match is None:
        raise StrategyFailed(f"{found} doesn't tell its version")
    version = tuple(int(part) for part in match.groups(default="0"))
    if not tool.on_path.oldest <= version < tool.on_path.below:
        wanted = ".".join(map(str, tool.on_path.oldest))
        limit = ".".join(map(str, tool.on_path.below))
        raise StrategyFailed(f"{found} is {match[0]}, wanted {wanted} or newer, older than {limit}")
    fault = driver_fault(tool, path)
    if fault is not None:
        raise StrategyFailed(f"{found} isn't taken: {fault}")
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
        raise StrategyFailed(f"{path} doesn't run: {error}") from error
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
