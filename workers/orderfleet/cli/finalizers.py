"""`orderfleet remove-finalizers`: remove the operator's finalizer from every Order, before an uninstall.

The chart's pre-delete hook runs it. It parses and prints; `orderfleet.operator.finalizers` does the work.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from orderfleet.cli.errors import EXITS, read_settings

app = typer.Typer(add_completion=False)


@app.command(
    epilog=f"Example:\n\n  $ orderfleet remove-finalizers --stop-deployment orderfleet/orderfleet-operator\n\n{EXITS}"
)
def remove_finalizers(
    stop_deployment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="First scale this Deployment of an operator to 0 replicas. Repeat the option where several operators"
            " share the Orders.",
        ),
    ] = None,
    stop_pods: Annotated[
        str, typer.Option(metavar="SELECTOR", help="Wait until no pod has these labels.")
    ] = "app.kubernetes.io/component=operator",
) -> None:
    """Remove Orderfleet's finalizer from every Order in the namespaces of ORDERFLEET_OPERATOR_NAMESPACES.

    Running orders continue; an operator that is installed again resumes them.
    """
    deployments = [(namespace, name) for namespace, _, name in (each.partition("/") for each in stop_deployment or ())]
    if not all(name for _, name in deployments):
        raise typer.BadParameter("--stop-deployment must be NAMESPACE/NAME")
    watched = [each.strip() for each in read_settings().operator_namespaces.split(",") if each.strip()]
    from orderfleet.operator.finalizers import remove_order_finalizers, stop_operators  # noqa: PLC0415
    from orderfleet.operator.kubernetes import Kubernetes  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.operator.main import login  # noqa: PLC0415

    async def run() -> int:
        async with Kubernetes(login, connections=20) as kubernetes:
            await stop_operators(kubernetes, deployments, stop_pods)
            return await remove_order_finalizers(kubernetes, watched)

    typer.echo(f"finalizer removed from {asyncio.run(run())} Orders")
