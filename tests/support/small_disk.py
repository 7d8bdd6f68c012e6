"""A file system of a few MiB that a test can fill to its last byte: a tmpfs, mounted for one test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A small file system, empty until `fill`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free(self) -> int:
        """Free bytes."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Fill the file system."""
        with self._filler.open("ab") as file:
            while left := self.free:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, left)

    def make_room(self) -> None:
        """Free what `fill` used."""
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a small file system; skip the test if mounting isn't allowed.

    Args:
        folder: to mount at.
        mebibytes: its size.
    """
    folder.mkdir(mode=0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "orderfleet-test", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here, so no disk was filled: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that still has a file open there exits by itself.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)
