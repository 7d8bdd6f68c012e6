"""`orderfleet release`: let go of every Order before an uninstall; what the chart's pre-delete hook runs.

It parses and prints; `orderfleet.operator.release` does the work.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from orderfleet.cli.errors import EXITS, read_settings

app = typer.Typer(add_completion=False)


@app.command(epilog=f"Example:\n\n  $ orderfleet release --stop-deployment orderfleet/orderfleet-operator\n\n{EXITS}")
def release(
    stop_deployment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="Scale this Deployment of an operator to nothing before; once for each where operators share the"
            " Orders.",
        ),
    ] = None,
    stop_pods: Annotated[
        str, typer.Option(metavar="SELECTOR", help="Wait until no pod has these labels.")
    ] = "app.kubernetes.io/component=operator",
) -> None:
    """Take Orderfleet's finalizer off every Order that ORDERFLEET_OPERATOR_NAMESPACES covers.

    Orders that run go on; an operator that is installed again takes them up again.
    """
    deployments = [(namespace, name) for namespace, _, name in (each.partition("/") for each in stop_deployment or ())]
    if not all(name for _, name in deployments):
        raise typer.BadParameter("--stop-deployment is NAMESPACE/NAME")
    watched = [each.strip() for each in read_settings().operator_namespaces.split(",") if each.strip()]
    from orderfleet.operator.finalizers import remove_order_finalizers, stop_operators  # noqa: PLC0415
    from orderfleet.operator.kubernetes import Kubernetes  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.operator.main import login  # noqa: PLC0415

    async def run() -> int:
        async with Kubernetes(login, connections=20) as kubernetes:
            await stop_operators(kubernetes, deployments, stop_pods)
            return await remove_order_finalizers(kubernetes, watched)

    typer.echo(f"Orders let go: {asyncio.run(run())}")
