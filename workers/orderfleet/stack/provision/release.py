"""The third rung: the official release, taken only when its checksum is right.

The ladder calls it with a folder to put the executable in. It must never leave an executable
there that it hasn't verified.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from orderfleet.stack.provision.cache import system
from orderfleet.stack.provision.catalog import ChecksumKind, Release, Tool
from orderfleet.stack.provision.errors import RungFailed
from orderfleet.stack.provision.network import Network

_DIGEST = re.compile(r"[0-9a-f]{64}")


def addresses(tool: Tool) -> tuple[str, str]:
    """Return the address of the tool's release and of its checksum for this machine.

    Raises:
        RungFailed: there is no release for this machine.
    """
    release = tool.release
    name, architecture = system()
    if release is None or name not in release.systems or architecture not in {"amd64", "arm64"}:
        raise RungFailed(f"no official release for {name}/{architecture}")
    values = {
        "version": tool.version,
        "os": dict(release.renamed_systems).get(name, name),
        "arch": architecture,
        "suffix": "zip" if name in release.zip_systems else "tar.gz",
    }
    return release.url.format(**values), release.checksum_url.format(**values)


def fetch(tool: Tool, folder: Path, network: Network) -> str:
    """Put the verified executable into `folder`; return the host it came from.

    Raises:
        RungFailed: there is no release, no network, or the checksum is missing or wrong.
    """
    url, checksum_url = addresses(tool)
    release = tool.release
    if release is None:
        raise RungFailed("no official release")
    archive, checksum = folder / ".release", folder / ".checksum"
    network.fetch(checksum_url, checksum)
    expected = _expected(release, checksum.read_text(errors="replace"), PurePosixPath(url).name)
    network.fetch(url, archive)
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise RungFailed(f"{url}: refused, its SHA-256 is {actual}, published is {expected}")
    if release.member is None:
        archive.rename(folder / tool.name)
    else:
        _unpack(archive, release.member, folder / tool.name)
        archive.unlink()
    checksum.unlink()
    return urlsplit(url).netloc


def _expected(release: Release, text: str, file_name: str) -> str:
    digest = ""
    if release.checksum is ChecksumKind.DIGEST:
        digest = text.split(maxsplit=1)[0] if text.split() else ""
    elif release.checksum is ChecksumKind.LISTING:
        pairs = (line.partition(" ") for line in text.splitlines())
        named = (value for value, _, name in pairs if name.strip().lstrip("*") == file_name)
        digest = next(named, "")
    else:
        digest = _github_digest(text, file_name)
    if not _DIGEST.fullmatch(digest):
        raise RungFailed(f"no checksum is published for {file_name}")
    return digest


def _github_digest(text: str, file_name: str) -> str:
    try:
        assets = json.loads(text)["assets"]
        named = (a["digest"] for a in assets if a["name"] == file_name)
        return str(next(named, "")).removeprefix("sha256:")
    except (ValueError, KeyError, TypeError):
        return ""


def _unpack(archive: Path, member: str, target: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as box:
                names = [n for n in box.namelist() if PurePosixPath(n).name == member]
                with box.open(names[0]) as source:
                    _copy(source, target)
        else:
            with tarfile.open(archive) as tar:
                found = [m for m in tar if m.isfile() and PurePosixPath(m.name).name == member]
                file = tar.extractfile(found[0])
                if file is not None:
                    _copy(file, target)
    except (IndexError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise RungFailed(f"the release holds no file {member}") from error


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)
