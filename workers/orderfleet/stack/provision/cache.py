"""The tool cache: one folder a tool and version, published whole or not at all.

The ladder looks up and publishes tools here. A tool is made in a folder with a temporary name
beside its final place and renamed when it is complete, under an exclusive lock per tool, so
that a run that is killed never leaves a broken binary and two runs never make the same one.
It must never change a published folder.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderfleet.stack.provision.catalog import Tool

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
