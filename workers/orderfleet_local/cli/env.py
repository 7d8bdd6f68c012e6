"""`orderfleet env`: prints the shell variables for the local stack.

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

API_URL: Final = "ORDERFLEET_API_URL"
"""Variable for manual requests; no process reads it."""

app = typer.Typer(add_completion=False)


@app.command(epilog='Examples:\n\n  $ eval "$(.venv/bin/orderfleet env)"')
def env() -> None:
    """Print shell commands that put kubectl and orderfleet on PATH and point them at the local stack."""
    from orderfleet_local.provision.progress import ProvisionError  # noqa: PLC0415 - `--help` doesn't need it
    from orderfleet_local.provision.resolver import provide  # noqa: PLC0415
    from orderfleet_local.stack.errors import NotUp  # noqa: PLC0415
    from orderfleet_local.stack.state import load  # noqa: PLC0415

    state = load()
    if state is None:
        raise NotUp
    try:
        kubectl = provide(["kubectl"])["kubectl"]
    except ProvisionError as error:
        raise Failed(str(error)) from None
    folders = {"kubectl": kubectl.parent, "orderfleet": Path(sys.executable).parent}
    missing = [str(folder) for name, folder in folders.items() if not _found(name, folder)]
    if missing:
        typer.echo(f'export PATH={shlex.quote(os.pathsep.join(missing))}{os.pathsep}"$PATH"')
    typer.echo(f"export KUBECONFIG={shlex.quote(str(state.kubeconfig))}")
    typer.echo(f"export {API_URL}={shlex.quote(state.api_url)}")


def _found(program: str, folder: Path) -> bool:
    """Return whether PATH already finds the program in `folder`."""
    on_path = shutil.which(program)
    return on_path is not None and Path(on_path) == folder / program
