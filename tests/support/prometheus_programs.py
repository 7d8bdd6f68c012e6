"""Prometheus and promtool: those on PATH, or else Debian's package, unpacked into the cache.

A machine that has neither fails the tests that need them, with a message on what to do; it must never skip them.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from orderfleet_local.stack.optional_services import find_prometheus, unpacked_prometheus

PACKAGE = "prometheus"


class PrometheusMissing(AssertionError):
    pass


def program(name: str) -> Path:
    """Return the path of `prometheus` or `promtool`."""
    if find_prometheus(name) is None:
        _unpack(unpacked_prometheus())
    found = find_prometheus(name)
    assert found is not None
    return found


def _unpack(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        for command in (["apt-get", "download", PACKAGE], ["sh", "-c", "dpkg-deb -x *.deb unpacked"]):
            try:
                subprocess.run(command, cwd=temporary, check=True, capture_output=True, text=True, timeout=300)
            except (OSError, subprocess.SubprocessError) as error:
                why = getattr(error, "stderr", None) or error
                raise PrometheusMissing(
                    f"no Prometheus: it isn't on PATH, and `{command[0]}` failed ({why}); install Debian's package"
                    f" {PACKAGE} or a release of https://prometheus.io/download, or run `apt-get update` first"
                ) from None
        if not folder.exists():
            (Path(temporary) / "unpacked").rename(folder)
