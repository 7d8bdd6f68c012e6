"""kubectl as the demos use it: the real program against the stack's API server, every call bounded.

Scenarios call it. It must never use a cluster other than the stack's: kubeconfig and cache are
given on each call.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orderfleet.cli.demo.watch import Status, Watch, status_of, watching
from orderfleet.cli.exits import Failed
from orderfleet.cli.watched import RESOURCE, watch_of

_CALL_SECONDS: Final = 20


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
        return status_of(json.loads(self._run(("get", RESOURCE, name, "-o", "json"))))

    def generation(self, name: str) -> int:
        """The number of the Order's present spec. Raises as `apply`."""
        return int(json.loads(self._run(("get", RESOURCE, name, "-o", "json")))["metadata"]["generation"])

    def watch(self, name: str) -> AbstractContextManager[Watch]:
        """Follow an Order's status until the context is left."""
        return watching(self._command(*watch_of(name)))

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
