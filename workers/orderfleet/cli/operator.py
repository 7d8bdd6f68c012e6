"""`orderfleet operator`: the process that starts workflows for Orders and writes their status to Kubernetes."""

from __future__ import annotations

import typer

from orderfleet.cli import role
from orderfleet.cli.errors import read_settings

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Examples:\n\n  $ KUBECONFIG=~/.kube/config orderfleet operator\n\n"
    "  $ ORDERFLEET_OPERATOR_NAMESPACES=shop,outlet orderfleet operator\n\n"
    "  $ ORDERFLEET_OPERATOR_SELECTOR='shard in (a,b)' orderfleet operator"
)
def operator() -> None:
    """Run the operator until SIGTERM.

    It uses the pod's service account, or the current context of KUBECONFIG.
    """
    settings = read_settings()
    from orderfleet.operator.main import run  # noqa: PLC0415 - no other command loads kopf

    role.run("operator", run, settings)
