"""Official releases: accepted only if complete and with the right checksum; timeouts are seconds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

from orderfleet_local.provision.catalog import ChecksumKind, GoBuild, Release, Tool
from orderfleet_local.provision.progress import ProvisionError

CONTENT = b"#!/bin/sh\necho real\n" + b"#" * 1_000_000


@pytest.fixture(autouse=True)
def _without_go(program_on_path):
    """Make builds impossible."""


def test_release_with_the_right_checksum_is_published(resolver, release_host, cache, output):
    release_host.put("fake-tool", CONTENT)
    provided = resolver.provide([release_host.tool()])["fake-tool"]
    assert provided.path.read_bytes() == CONTENT
    assert os.access(provided.path, os.X_OK)
    assert "official release from 127.0.0.1" in provided.source
    assert "fake-tool 1.2.3: official release" in output.getvalue()
    assert resolver.provide([release_host.tool()])["fake-tool"].source == "cache"


@pytest.mark.parametrize("packed", ["tar.gz", "zip"])
def test_release_in_an_archive_is_unpacked(resolver, release_host, packed):
    name, buffer = f"fake.{packed}", io.BytesIO()
    if packed == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("fake-1.2.3/fake-tool", CONTENT)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            info = tarfile.TarInfo("fake-1.2.3/fake-tool")
            info.size = len(CONTENT)
            archive.addfile(info, io.BytesIO(CONTENT))
    release_host.put(name, buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (release_host.folder / "SUMS").write_text(f"{'0' * 64}  other\n{digest}  {name}\n")
    tool = release_host.tool(file=name, checksum=("SUMS", ChecksumKind.LISTING), member="fake-tool")
    path = resolver.provide([tool])["fake-tool"].path
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["fake-tool"]


def test_release_with_a_github_digest_is_published(resolver, release_host):
    release_host.put("fake-tool", CONTENT)
    assets = [{"name": "fake-tool", "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"}]
    (release_host.folder / "release.json").write_text(json.dumps({"assets": assets}))
    tool = release_host.tool(checksum=("release.json", ChecksumKind.GITHUB))
    assert resolver.provide([tool])["fake-tool"].path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "case",
    [
        ("whole", "0" * 64, "rejected, its SHA-256 is"),
        ("whole", "<html>please sign in</html>", "no checksum is published"),
        ("truncated", None, "bytes"),
    ],
)
def test_release_that_does_not_match_is_rejected(resolver, release_host, cache, case):
    mode, digest, reason = case
    release_host.put("fake-tool", CONTENT, digest)
    tool = release_host.tool(mode)
    with pytest.raises(ProvisionError, match=reason):
        resolver.provide([tool])
    assert cache.find(tool) is None
    assert [entry.name for entry in cache.tool_folder(tool).parent.iterdir()] == [".lock"]


def test_missing_release_is_reported(resolver, release_host):
    with pytest.raises(ProvisionError, match="404"):
        resolver.provide([release_host.tool()])


def test_silent_host_times_out_in_seconds(resolver):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tool"
        tools = [
            Tool(f"tool-{n}", "1", GoBuild("fake", "p"), None, Release(url, url, ChecksumKind.DIGEST))
            for n in range(20)
        ]
        start = time.monotonic()
        with pytest.raises(ProvisionError, match="is unreachable"):
            resolver.provide(tools)
        assert time.monotonic() - start < 12  # in turn, with a second each, it would take 20


def test_stalled_download_times_out(resolver, release_host):
    release_host.put("fake-tool", CONTENT)
    start = time.monotonic()
    with pytest.raises(ProvisionError, match="timed out"):
        resolver.provide([release_host.tool("slow")])
    assert time.monotonic() - start < 10


_RUN = """
import sys
from pathlib import Path
from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.cache import Cache
from orderfleet_local.provision.catalog import *
from orderfleet_local.provision.resolver import Resolver
from orderfleet_local.provision.release import Network
from orderfleet_local.provision.progress import Progress
base, cache = sys.argv[1], Path(sys.argv[2])
release = Release(base + "fake-tool", base + "fake-tool.sha256", ChecksumKind.DIGEST)
tool = Tool("fake-tool", "1.2.3", GoBuild("fake", "example.test/fake"), None, release)
Resolver(Cache(cache), Network(), Builder(Path("/nowhere")), Progress()).provide([tool])
"""


def test_killed_download_publishes_nothing(resolver, release_host, cache):
    release_host.put("fake-tool", CONTENT)
    tool = release_host.tool()
    base = f"http://127.0.0.1:{release_host.port}/slow/"
    with subprocess.Popen([sys.executable, "-c", _RUN, base, str(cache.folder)], stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 30
        while not (halves := list(cache.folder.glob("fake-tool/.making-*/.release"))) or not any(
            half.stat().st_size for half in halves
        ):
            assert time.monotonic() < deadline
            assert run.poll() is None, run.stderr
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert cache.find(tool) is None
    assert resolver.provide([tool])["fake-tool"].path.read_bytes() == CONTENT
    assert not list(cache.folder.glob("fake-tool/.making-*"))
