"""Applies the chart's custom resource definitions to the local Kubernetes API server.

It must never have a definition of its own.
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


def apply(kubectl: Path, kubeconfig: Path, folder: Path, canceled: threading.Event | None = None) -> None:
    """Apply the definitions and wait until the server serves them.

    Args:
        kubectl: the program.
        kubeconfig: of the server.
        folder: of the stack, for the log.
        canceled: set when it needn't finish.

    Raises:
        StackError: there are no definitions, or the server rejected one; the message is kubectl's.
        Canceled: `canceled` was set.
    """
    files = definitions()
    if not files.is_dir():
        raise StackError(f"{files} is missing; the stack runs from a checkout")
    # `--force-conflicts` lets the checkout's definition replace one that was edited on the server.
    _kubectl(("apply", "--server-side", "--force-conflicts", "-f", str(files)), kubectl, kubeconfig, folder, canceled)
    wait = ("wait", "--for=condition=Established", f"--timeout={_ESTABLISHED_SECONDS}s", "-f", str(files))
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    while True:
        try:
            return _kubectl(wait, kubectl, kubeconfig, folder, canceled)
        except PartFailed:
            # kubectl fails immediately if the server has not written the definition's first conditions yet.
            if time.monotonic() > deadline:
                raise


def _kubectl(
    arguments: tuple[str, ...], kubectl: Path, kubeconfig: Path, folder: Path, canceled: threading.Event | None
) -> None:
    run_job(CRD, Command((str(kubectl), "--kubeconfig", str(kubeconfig), *arguments), folder), folder, canceled)
