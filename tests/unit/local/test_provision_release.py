"""The official release: taken only whole and with the right checksum, given up on in seconds."""

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
    """A build must not come to the rescue."""


def test_right_checksum_is_published(ladder, release_host, cache, said):
    release_host.put("pretend-tool", CONTENT)
    served = ladder.provide([release_host.tool()])["pretend-tool"]
    assert served.path.read_bytes() == CONTENT
    assert os.access(served.path, os.X_OK)
    assert "official release from 127.0.0.1" in served.rung
    assert "pretend-tool 1.2.3: official release" in said.getvalue()
    assert ladder.provide([release_host.tool()])["pretend-tool"].rung == "cache"


@pytest.mark.parametrize("packed", ["tar.gz", "zip"])
def test_archive_with_a_listing_of_checksums(ladder, release_host, packed):
    name, box = f"pretend.{packed}", io.BytesIO()
    if packed == "zip":
        with zipfile.ZipFile(box, "w") as archive:
            archive.writestr("pretend-1.2.3/pretend-tool", CONTENT)
    else:
        with tarfile.open(fileobj=box, mode="w:gz") as archive:
            info = tarfile.TarInfo("pretend-1.2.3/pretend-tool")
            info.size = len(CONTENT)
            archive.addfile(info, io.BytesIO(CONTENT))
    release_host.put(name, box.getvalue())
    digest = hashlib.sha256(box.getvalue()).hexdigest()
    (release_host.folder / "SUMS").write_text(f"{'0' * 64}  other\n{digest}  {name}\n")
    tool = release_host.tool(file=name, checksum=("SUMS", ChecksumKind.LISTING), member="pretend-tool")
    path = ladder.provide([tool])["pretend-tool"].path
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["pretend-tool"]


def test_digest_of_a_github_release(ladder, release_host):
    release_host.put("pretend-tool", CONTENT)
    assets = [{"name": "pretend-tool", "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"}]
    (release_host.folder / "release.json").write_text(json.dumps({"assets": assets}))
    tool = release_host.tool(checksum=("release.json", ChecksumKind.GITHUB))
    assert ladder.provide([tool])["pretend-tool"].path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "case",
    [
        ("whole", "0" * 64, "refused, its SHA-256 is"),
        ("whole", "<html>please sign in</html>", "no checksum is published"),
        ("truncated", None, "bytes"),
    ],
)
def test_wrong_release_is_refused(ladder, release_host, cache, case):
    mood, digest, reason = case
    release_host.put("pretend-tool", CONTENT, digest)
    tool = release_host.tool(mood)
    with pytest.raises(ProvisionError, match=reason):
        ladder.provide([tool])
    assert cache.find(tool) is None
    assert [entry.name for entry in cache.place(tool).parent.iterdir()] == [".lock"]


def test_missing_release_is_said(ladder, release_host):
    with pytest.raises(ProvisionError, match="404"):
        ladder.provide([release_host.tool()])


def test_silent_host_is_given_up_on_in_seconds(ladder):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tool"
        tools = [
            Tool(f"tool-{n}", "1", GoBuild("pretend", "p"), None, Release(url, url, ChecksumKind.DIGEST))
            for n in range(20)
        ]
        began = time.monotonic()
        with pytest.raises(ProvisionError, match="can't be reached"):
            ladder.provide(tools)
        assert time.monotonic() - began < 12  # a second for each, one after the other, is 20


def test_download_that_stands_still_is_given_up_on(ladder, release_host):
    release_host.put("pretend-tool", CONTENT)
    began = time.monotonic()
    with pytest.raises(ProvisionError, match="timed out"):
        ladder.provide([release_host.tool("slow")])
    assert time.monotonic() - began < 10


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
release = Release(base + "pretend-tool", base + "pretend-tool.sha256", ChecksumKind.DIGEST)
tool = Tool("pretend-tool", "1.2.3", GoBuild("pretend", "example.test/pretend"), None, release)
Resolver(Cache(cache), Network(), Builder(Path("/nowhere")), Progress()).provide([tool])
"""


def test_killed_download_leaves_nothing_broken(ladder, release_host, cache):
    release_host.put("pretend-tool", CONTENT)
    tool = release_host.tool()
    base = f"http://127.0.0.1:{release_host.port}/slow/"
    with subprocess.Popen([sys.executable, "-c", _RUN, base, str(cache.folder)], stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 30
        while not (halves := list(cache.folder.glob("pretend-tool/.making-*/.release"))) or not any(
            half.stat().st_size for half in halves
        ):
            assert time.monotonic() < deadline
            assert run.poll() is None, run.stderr
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert cache.find(tool) is None
    assert ladder.provide([tool])["pretend-tool"].path.read_bytes() == CONTENT
    assert not list(cache.folder.glob("pretend-tool/.making-*"))
