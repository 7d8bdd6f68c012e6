"""The network as provisioning sees it: is a host there, and fetch a file.

The release rung calls it. Every host is probed once a run, with a short bound, so that a
machine without a network loses seconds, not minutes. It must never write outside the path it is
given, and never trust what it fetched: the caller holds it against a checksum.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from orderfleet.stack.provision.errors import RungFailed

_CHUNK = 1 << 18
_AGENT = {"User-Agent": "orderfleet-provision"}


class Network:
    """Reachability of hosts, remembered for one run, and downloads."""

    def __init__(self, *, probe_seconds: float = 3.0, stall_seconds: float = 20.0) -> None:
        """Give up on a host after `probe_seconds`, on a download that stands still after `stall_seconds`."""
        self._probe_seconds = probe_seconds
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._probes: dict[str, _Probe] = {}

    def probe(self, urls: Iterable[str]) -> None:
        """Start asking the hosts of all `urls` at the same time; doesn't wait for them."""
        for url in urls:
            self._probe(url)

    def require(self, url: str) -> None:
        """Wait for the probe of the host of `url`.

        Raises:
            RungFailed: the host can't be reached.
        """
        probe = self._probe(url)
        # Name resolution has no time-out of its own, hence the bound from outside.
        probe.join(self._probe_seconds + 1)
        if not probe.reachable:
            raise RungFailed(f"{urlsplit(url).netloc} can't be reached")

    def fetch(self, url: str, target: Path) -> None:
        """Write what `url` holds to `target`.

        Raises:
            RungFailed: the host can't be reached, answers with an error or stops half-way.
        """
        self.require(url)
        try:
            with (
                _open("GET", url, self._stall_seconds) as answer,
                target.open("wb") as file,
            ):
                announced = answer.headers.get("Content-Length")
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                received = file.tell()
        except (OSError, http.client.HTTPException) as error:
            raise RungFailed(f"{url}: {error}") from error
        if announced is not None and int(announced) != received:
            raise RungFailed(f"{url}: got {received} of {announced} bytes")

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
            # Any answer shows that the host is there.
            self.reachable = True
        except (OSError, http.client.HTTPException):
            return
        else:
            self.reachable = True


def _open(method: str, url: str, seconds: float) -> http.client.HTTPResponse:
    # The catalog is the only source of addresses, and names http(s) ones.
    request = urllib.request.Request(url, headers=_AGENT, method=method)  # noqa: S310
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=seconds)  # noqa: S310
    return answer
