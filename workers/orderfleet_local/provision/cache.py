"""The tool cache, and the tools on PATH: finds them, checks their versions, publishes new ones.

The cache has one folder for each tool and version. A tool is created in a temporary folder and renamed when it is
complete, under a lock per tool: a killed run never leaves a broken binary, and two runs never create the same one. A
published folder must never be changed.
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

_LOCK_POLL_SECONDS = 0.1


def system() -> tuple[str, str]:
    """Return the operating system and architecture of this machine, as in the names of releases."""
    machine = platform.machine().lower()
    return platform.system().lower(), _ARCHITECTURES.get(machine, machine)


class Cache:
    """The published tools in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is created at the first write."""
        self.folder = folder

    def tool_folder(self, tool: Tool) -> Path:
        """Return the folder of the published tool; it may not exist yet."""
        return self.folder / tool.name / "-".join((tool.edition, *system()))

    def find(self, tool: Tool) -> Path | None:
        """Return the published executable; None if there is none."""
        executable = self.tool_folder(tool) / tool.name
        return executable if executable.is_file() else None

    @contextmanager
    def locked(self, tool: Tool) -> Iterator[None]:
        """Hold the tool's lock; wait while another run holds it.

        The kernel releases the lock of a process that dies.
        """
        folder = self.folder / tool.name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_LOCK_POLL_SECONDS)
                else:
                    break
            yield

    @contextmanager
    def publishing(self, tool: Tool) -> Iterator[Path]:
        """Yield a folder to create the tool in, and publish it unless the block raises.

        The block must create an executable with the tool's name. The caller holds the tool's lock, so every other
        temporary folder was left by a killed run, and is removed.
        """
        target = self.tool_folder(tool)
        for remains in target.parent.glob(".making-*"):
            shutil.rmtree(remains, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
        try:
            yield folder
            executable = folder / tool.name
            executable.chmod(0o755)
            folder.chmod(0o755)
            with executable.open("rb") as file:
                os.fsync(file.fileno())
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


_LINE_BYTES = 512

_LINKED_VERSION = re.compile(rb"[^\t\n]*?v(\d+)\.(\d+)\.(\d+)[^\n]*(?:\n=>\t[^\t\n]+\tv(\d+)\.(\d+)\.(\d+))?")


def linked_version(program: Path, module: str) -> tuple[int, ...] | None:
    """Return the version of the Go module that a program is linked with.

    Args:
        program: the executable.
        module: its path.

    Returns:
        The version, that of the replacement if the module is replaced; None if the program isn't built by Go or isn't
        linked with the module.
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


def module_fault(tool: Tool, program: Path) -> str | None:
    """Return which fault `program` has that the pinned build of `tool` has not; None if it has none."""
    if tool.linked is None:
        return None
    found = linked_version(program, tool.linked.path)
    if found is not None and found >= tool.linked.oldest:
        return None
    wanted = ".".join(map(str, tool.linked.oldest))
    shown = "in an unknown version" if found is None else f"v{'.'.join(map(str, found))}"
    return f"it is linked with {tool.linked.path} {shown}, wanted v{wanted} or newer: {tool.linked.fault}"


_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?")

_RESPONSE_TIMEOUT = 10


def find_on_path(tool: Tool, cache_folder: Path) -> Path:
    """Return the tool on PATH.

    Args:
        tool: to find.
        cache_folder: keeps the versions of programs, so that each is run once.

    Raises:
        StrategyFailed: it isn't on PATH, its version isn't acceptable, or a module it is linked with has a fault.
    """
    found = shutil.which(tool.name)
    if found is None:
        raise StrategyFailed("not on PATH")
    if tool.on_path is None:
        raise StrategyFailed(f"{found} can't print its version")
    path = Path(found)
    text = _version_text(path, tool.on_path.arguments, cache_folder / "path-versions.json")
    match = _VERSION.search(text)
    if match is None:
        raise StrategyFailed(f"{found} doesn't print its version")
    version = tuple(int(part) for part in match.groups(default="0"))
    if not tool.on_path.oldest <= version < tool.on_path.below:
        wanted = ".".join(map(str, tool.on_path.oldest))
        limit = ".".join(map(str, tool.on_path.below))
        raise StrategyFailed(f"{found} is {match[0]}, wanted {wanted} or newer, older than {limit}")
    fault = module_fault(tool, path)
    if fault is not None:
        raise StrategyFailed(f"{found} is not accepted: {fault}")
    return path


def _version_text(path: Path, arguments: tuple[str, ...], versions_file: Path) -> str:
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    known = _read(versions_file)
    if key in known:
        return known[key]
    try:
        result = subprocess.run(
            [path, *arguments], check=True, capture_output=True, text=True, timeout=_RESPONSE_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StrategyFailed(f"{path} doesn't run: {error}") from error
    text = result.stdout + result.stderr
    _write(versions_file, {**_read(versions_file), key: text})
    return text


def _read(versions_file: Path) -> dict[str, str]:
    try:
        content = json.loads(versions_file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(versions_file: Path, content: dict[str, str]) -> None:
    versions_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".versions-", dir=versions_file.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    Path(name).replace(versions_file)
