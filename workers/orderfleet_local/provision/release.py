"""Downloads official releases and verifies their checksums.

Every host is probed once a run, with a short timeout, so that a machine without a network loses seconds, not
minutes. A download must never be published before its checksum was verified.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from orderfleet_local.provision.cache import system
from orderfleet_local.provision.catalog import ChecksumKind, Release, Tool
from orderfleet_local.provision.progress import StrategyFailed

_CHUNK = 1 << 18

_AGENT = {"User-Agent": "orderfleet-provision"}


class Network:
    """Downloads files; remembers for one run which hosts are reachable."""

    def __init__(self, *, probe_seconds: float = 3.0, stall_seconds: float = 20.0) -> None:
        """Create the network.

        Args:
            probe_seconds: time that a host has to respond.
            stall_seconds: time that a download may take without data.
        """
        self._probe_seconds = probe_seconds
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._probes: dict[str, _Probe] = {}

    def probe(self, urls: Iterable[str]) -> None:
        """Start probing the hosts of all `urls` concurrently; don't wait for them."""
        for url in urls:
            self._probe(url)

    def require(self, url: str) -> None:
        """Wait for the probe of the host of `url`.

        Raises:
            StrategyFailed: the host is unreachable.
        """
        probe = self._probe(url)
        # Name resolution has no timeout of its own, so this wait needs one.
        probe.join(self._probe_seconds + 1)
        if not probe.reachable:
            raise StrategyFailed(f"{urlsplit(url).netloc} is unreachable")

    def fetch(self, url: str, target: Path) -> None:
        """Download `url` to `target`.

        Raises:
            StrategyFailed: the host is unreachable, returns an error, or the download is incomplete.
        """
        self.require(url)
        try:
            with _open("GET", url, self._stall_seconds) as response, target.open("wb") as file:
                announced = response.headers.get("Content-Length")
                shutil.copyfileobj(response, file, _CHUNK)
                received = file.tell()
        except (OSError, http.client.HTTPException) as error:
            raise StrategyFailed(f"{url}: {error}") from error
        if announced is not None and int(announced) != received:
            raise StrategyFailed(f"{url}: got {received} of {announced} bytes")

    def _probe(self, url: str) -> _Probe:
        scheme, host, *_ = urlsplit(url)
        origin = f"{scheme}://{host}/"
        with self._lock:
            if origin not in self._probes:
                self._probes[origin] = _Probe(origin, self._probe_seconds)
                self._probes[origin].start()
            return self._probes[origin]


class _Probe(threading.Thread):
    def __init__(self, origin: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self._origin = origin
        self._seconds = seconds
        self.reachable = False

    def run(self) -> None:
        try:
            _open("HEAD", self._origin, self._seconds).close()
        except urllib.error.HTTPError:
            # Any response shows that the host is reachable.
            self.reachable = True
        except (OSError, http.client.HTTPException):
            return
        else:
            self.reachable = True


def _open(method: str, url: str, seconds: float) -> http.client.HTTPResponse:
    # All URLs are those of the catalog, which are http(s).
    request = urllib.request.Request(url, headers=_AGENT, method=method)  # noqa: S310
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=seconds)  # noqa: S310
    return response


_DIGEST = re.compile(r"[0-9a-f]{64}")


def addresses(tool: Tool) -> tuple[str, str]:
    """Return the URLs of the tool's release and of its checksum for this machine.

    Raises:
        StrategyFailed: there is no release for this machine.
    """
    release = tool.release
    name, architecture = system()
    if release is None or name not in release.systems or architecture not in {"amd64", "arm64"}:
        raise StrategyFailed(f"no official release for {name}/{architecture}")
    values = {
        "version": tool.version,
        "os": dict(release.renamed_systems).get(name, name),
        "arch": architecture,
        "suffix": "zip" if name in release.zip_systems else "tar.gz",
    }
    return release.url.format(**values), release.checksum_url.format(**values)


def fetch(tool: Tool, folder: Path, network: Network) -> str:
    """Download and verify the tool; return the host.

    Args:
        tool: to download.
        folder: for the executable.
        network: for the downloads.

    Raises:
        StrategyFailed: there is no release, no network, or the checksum is missing or wrong.
    """
    url, checksum_url = addresses(tool)
    release = tool.release
    assert release is not None
    archive, checksum = folder / ".release", folder / ".checksum"
    network.fetch(checksum_url, checksum)
    expected = _expected(release, checksum.read_text(errors="replace"), PurePosixPath(url).name)
    network.fetch(url, archive)
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise StrategyFailed(f"{url}: rejected, its SHA-256 is {actual}, the published one is {expected}")
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
        raise StrategyFailed(f"no checksum is published for {file_name}")
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
            with zipfile.ZipFile(archive) as zipped:
                names = [name for name in zipped.namelist() if PurePosixPath(name).name == member]
                with zipped.open(names[0]) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
        else:
            with tarfile.open(archive) as tar:
                found = [m for m in tar if m.isfile() and PurePosixPath(m.name).name == member]
                unpacked = tar.extractfile(found[0])
                if unpacked is not None:
                    with target.open("wb") as file:
                        shutil.copyfileobj(unpacked, file)
    except (IndexError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise StrategyFailed(f"the release holds no file {member}") from error
