"""kubectl as the demos use it: the real program against the stack's API server, every call bounded.

Scenarios call it. It must never use a cluster other than the stack's: kubeconfig and cache are
given on each call.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from orderfleet.cli.exits import Failed
from orderfleet.contracts.names import CRD_GROUP, CRD_PLURAL

RESOURCE: Final = f"{CRD_PLURAL}.{CRD_GROUP}"
"""The full name, because other products have a kind `Order` too."""

_CALL_SECONDS: Final = 20
_TICK: Final = 0.1

Status = Mapping[str, Any]


@dataclass
class Watch:
    """The states of one Order as `kubectl get --watch` tells them."""

    told: queue.Queue[Status | None] = field(default_factory=queue.Queue)
    last: Status = field(default_factory=dict)

    def pass_on(self, seen: Callable[[Status], None]) -> None:
        """Hand what was told meanwhile to `seen`, without waiting."""
        while not self.told.empty():
            status = self.told.get_nowait()
            if status is None:
                return
            self.last = status
            seen(status)

    def until(self, done: Callable[[Status], bool], seconds: float, seen: Callable[[Status], None]) -> Status | None:
        """Return the first status that is `done`, or None after `seconds` or when the watch ended.

        Each new status is handed to `seen`.
        """
        end = time.monotonic() + seconds
        while not done(self.last):
            if time.monotonic() > end:
                return None
            try:
                status = self.told.get(timeout=_TICK)
            except queue.Empty:
                continue
            if status is None:
                return None
            self.last = status
            seen(status)
        return self.last


@dataclass(frozen=True)
class Kubectl:
    """The program, and the API server it is for."""

    program: Path
    kubeconfig: Path
    say: Callable[[str], None]
    """Told each command as a user would type it."""

    def apply(self, manifest: str, shown: str) -> None:
        """Apply a manifest; `shown` is the file to tell.

        Raises:
            Failed: kubectl refused it; the message is kubectl's.
        """
        self.say(f"kubectl apply -f {shown}")
        self._run(("apply", "-f", "-"), manifest)

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """Merge `spec` into an Order's. Raises as `apply`."""
        change = json.dumps({"spec": spec}, separators=(",", ":"))
        self.say(f"kubectl patch {RESOURCE} {name} --type merge -p '{change}'")
        self._run(("patch", RESOURCE, name, "--type", "merge", "-p", change))

    def status(self, name: str) -> Status:
        """The Order's status now. Raises as `apply`."""
        return _status(json.loads(self._run(("get", RESOURCE, name, "-o", "json"))))

    def generation(self, name: str) -> int:
        """The number of the Order's present spec. Raises as `apply`."""
        return int(json.loads(self._run(("get", RESOURCE, name, "-o", "json")))["metadata"]["generation"])

    @contextmanager
    def watch(self, name: str) -> Iterator[Watch]:
        """Follow an Order's status until the context is left."""
        command = self._command("get", RESOURCE, name, "-o", "json", "--watch")
        watch = Watch()
        with subprocess.Popen(  # noqa: S603 - kubectl is what a demo drives
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            threading.Thread(target=_read, args=(process.stdout, watch.told), daemon=True).start()
            try:
                yield watch
            finally:
                process.kill()

    def _run(self, arguments: tuple[str, ...], text: str | None = None) -> str:
        try:
            result = subprocess.run(  # noqa: S603 - kubectl is what a demo drives
                self._command(*arguments),
                input=text,
                capture_output=True,
                text=True,
                timeout=_CALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"kubectl {arguments[0]} did not answer within {_CALL_SECONDS} s") from None
        if result.returncode != 0:
            raise Failed(f"kubectl {arguments[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def _command(self, *arguments: str) -> list[str]:
        cache = self.kubeconfig.parent / "kubectl-cache"
        return [
            str(self.program),
            *("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(cache), "--namespace", "default"),
            *arguments,
        ]


def _read(stream: IO[str], told: queue.Queue[Status | None]) -> None:
    """Split the stream of indented JSON documents that kubectl prints one after the other."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line.rstrip() == "}":
            told.put(_status(json.loads("".join(lines))))
            lines.clear()
    told.put(None)


def _status(document: Mapping[str, Any]) -> Status:
    found: Status = document.get("status") or {}
    return found
