"""A release host and a resolver with tools of that host, for the tests of provisioning."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.cache import Cache
from orderfleet_local.provision.catalog import ChecksumKind, GoBuild, OnPath, Release, Tool
from orderfleet_local.provision.progress import Progress
from orderfleet_local.provision.release import Network
from orderfleet_local.provision.resolver import Resolver

NAME = "fake-tool"


class ReleaseHost:
    """A running release host: `put` publishes a file, `tool` returns a tool with its URLs."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def put(self, name: str, content: bytes, digest: str | None = None) -> None:
        (self.folder / name).write_bytes(content)
        (self.folder / f"{name}.sha256").write_text(digest or hashlib.sha256(content).hexdigest())

    def tool(
        self,
        mode: str = "whole",
        file: str = NAME,
        *,
        checksum: tuple[str, ChecksumKind] = (f"{NAME}.sha256", ChecksumKind.DIGEST),
        member: str | None = None,
        on_path: OnPath | None = None,
    ) -> Tool:
        base = f"http://127.0.0.1:{self.port}/{mode}/"
        release = Release(base + file, base + checksum[0], checksum[1], member)
        return Tool(NAME, "1.2.3", GoBuild("fake", "example.test/fake"), on_path, release)


@pytest.fixture
def release_host(tmp_path: Path) -> Iterator[ReleaseHost]:
    folder = tmp_path / "releases"
    folder.mkdir()
    script = Path(__file__).with_name("release_server.py")
    with subprocess.Popen([sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield ReleaseHost(folder, int(server.stdout.readline()))
        finally:
            server.kill()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def output() -> io.StringIO:
    """The output of the resolver."""
    return io.StringIO()


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    folder = tmp_path / "pins"
    (folder / "fake").mkdir(parents=True)
    return folder


@pytest.fixture
def resolver(cache: Cache, pins: Path, output: io.StringIO) -> Resolver:
    return Resolver(cache, Network(probe_seconds=1, stall_seconds=2), Builder(pins), Progress(output))


@pytest.fixture
def program_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that puts a shell script on a PATH with only the system's commands."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put
