"""`orderfleet env`: the shell variables for the local stack, and its addresses for `orderfleet.cli.local_stack`.

It must never write to a shell's files or to ~/.kube.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

import typer

from orderfleet.cli.errors import Failed
from orderfleet_local.provision.progress import ProvisionError
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import state
from orderfleet_local.stack.errors import NotUp

API_URL: Final = "ORDERFLEET_API_URL"
"""Variable for manual requests; no process reads it."""

app = typer.Typer(add_completion=False)


@app.command(epilog='Examples:\n\n  $ eval "$(.venv/bin/orderfleet env)"')
def env() -> None:
    """Print shell commands that put kubectl and orderfleet on PATH and point them at the local stack."""
    stack = state.load()
    if stack is None:
        raise NotUp
    try:
        kubectl = provide(["kubectl"])["kubectl"]
    except ProvisionError as error:
        raise Failed(str(error)) from None
    folders = {"kubectl": kubectl.parent, "orderfleet": Path(sys.executable).parent}
    missing = [str(folder) for name, folder in folders.items() if not _found(name, folder)]
    if missing:
        typer.echo(f'export PATH={shlex.quote(os.pathsep.join(missing))}{os.pathsep}"$PATH"')
    typer.echo(f"export KUBECONFIG={shlex.quote(str(stack.kubeconfig))}")
    typer.echo(f"export {API_URL}={shlex.quote(stack.api_url)}")


def _found(program: str, folder: Path) -> bool:
    """Return whether PATH already finds the program in `folder`."""
    on_path = shutil.which(program)
    return on_path is not None and Path(on_path) == folder / program


def stack_settings() -> dict[str, str | bool]:
    """Return the settings that connect to the running stack; empty if none runs."""
    found = state.load()
    if found is None or not found.complete:
        return {}
    return {
        "environment": "local",
        "sample_orders": True,
        "temporal_address": found.temporal_address,
        "database_url": found.database_url,
    }


def stack_kubectl(database_url: str) -> list[str]:
    """Return the command line of kubectl for the stack's cluster; empty unless `database_url` is the stack's."""
    found = state.load()
    if found is None or not found.complete or found.database_url != database_url:
        return []
    return [str(provide(["kubectl"])["kubectl"]), "--kubeconfig", str(found.kubeconfig)]
