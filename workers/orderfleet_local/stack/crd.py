"""Brings the custom resource definitions of the chart to the local Kubernetes API server.

The stack and the test harness call it. The files are those that the chart installs: it must
never hold a definition of its own.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from orderfleet_local.stack import paths
from orderfleet_local.stack.errors import PartFailed, StackError
from orderfleet_local.stack.launch import run_job
from orderfleet_local.stack.processes import Command

CRD = "crd"

_ESTABLISHED_SECONDS = 30


def definitions() -> Path:
    """Return the folder of the definitions."""
    return paths.checkout() / "charts" / "orderfleet" / "files" / "crds"


def apply(kubectl: Path, kubeconfig: Path, folder: Path, cancelled: threading.Event | None = None) -> None:
    """Apply the definitions, for the stack in `folder`, and wait until the server serves them.

    Raises:
        StackError: there are none, or the server refuses one; the message is kubectl's.
        Cancelled: `cancelled` was set meanwhile.
    """
    files = definitions()
    if not files.is_dir():
        raise StackError(f"{files} is missing; the stack runs from a checkout")
    # Forced: whoever edited a definition by hand on a local server wants the checkout's back.
    _kubectl(("apply", "--server-side", "--force-conflicts", "-f", str(files)), kubectl, kubeconfig, folder, cancelled)
    wait = ("wait", "--for=condition=Established", f"--timeout={_ESTABLISHED_SECONDS}s", "-f", str(files))
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    while True:
        try:
            return _kubectl(wait, kubectl, kubeconfig, folder, cancelled)
        except PartFailed:
            # kubectl fails at once where the server has not written the definition's first conditions yet.
            if time.monotonic() > deadline:
                raise


def _kubectl(
    arguments: tuple[str, ...], kubectl: Path, kubeconfig: Path, folder: Path, cancelled: threading.Event | None
) -> None:
    run_job(CRD, Command((str(kubectl), "--kubeconfig", str(kubeconfig), *arguments), folder), folder, cancelled)
