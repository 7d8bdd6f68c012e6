"""The long-running processes: `orderfleet worker`, `operator`, `api`, `codec`; and `remove-finalizers`, before an end.

A command imports only its own role's libraries. A role that fails writes one log record, which a cluster's log store
can read, and the process exits with 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orderfleet.cli.errors import EXITS, Exit, read_settings

if TYPE_CHECKING:
    from orderfleet.process import Stop
    from orderfleet.settings import Settings

app = typer.Typer(add_completion=False)

Role = Callable[["Settings", "Stop"], Coroutine[Any, Any, None]]


def _run(name: str, role: Role, settings: Settings, *, with_metrics: bool = True) -> None:
    """Run a role until SIGTERM or SIGINT and until it has drained; exit 1 when it fails.

    Args:
        name: of the role, in logs, metrics and traces.
        role: the coroutine function to run.
        settings: of the process.
        with_metrics: whether to serve metrics.

    Raises:
        OrderfleetError: the role can't run as it is set up; `main` prints the message.
    """
    import structlog  # noqa: PLC0415 - `--help` doesn't need it

    from orderfleet.domain.errors import OrderfleetError  # noqa: PLC0415
    from orderfleet.observability import logs  # noqa: PLC0415
    from orderfleet.observability.exposition import expose  # noqa: PLC0415
    from orderfleet.observability.tracing import export_spans  # noqa: PLC0415
    from orderfleet.process import run_role  # noqa: PLC0415

    logs.configure(settings, name)
    if with_metrics:
        expose(name, build=settings.worker_build_id)
    try:
        with export_spans(settings.otlp_endpoint, name, environment=settings.environment, ratio=settings.trace_ratio):
            run_role(lambda stop: role(settings, stop))
    except OrderfleetError:
        # `main` prints these in one line.
        raise
    except Exception:  # noqa: BLE001 - a log record instead of a traceback on the terminal
        structlog.get_logger().exception("the role failed")
        raise typer.Exit(Exit.FAILED) from None


class Kind(StrEnum):
    """Which steps a worker runs."""

    ORDERS = "orders"
    SHIPPING = "shipping"
    ALL = "all"


@app.command(
    epilog="Examples:\n\n  $ orderfleet worker orders\n\n  $ ORDERFLEET_HEALTH_PORT=8081 orderfleet worker all"
)
def worker(kind: Annotated[Kind, typer.Argument(help="Which steps; `all` runs both in one process.")]) -> None:
    """Run a worker until SIGTERM; then finish running activities within ORDERFLEET_DRAIN_TIMEOUT and exit 0.

    Start as many as the load needs: they share the task queues.

    Outside a local stack, set ORDERFLEET_PAYMENT_PROVIDER and ORDERFLEET_CARRIER first.
    """
    settings = read_settings()
    if kind is Kind.ORDERS:
        from orderfleet.orders.worker import run  # noqa: PLC0415 - a worker loads only its own role
    elif kind is Kind.SHIPPING:
        from orderfleet.shipping.worker import run  # noqa: PLC0415
    else:
        run = _both
    _run(f"{kind}-worker" if kind is not Kind.ALL else "worker", run, settings)


async def _both(settings: Settings, stop: Stop) -> None:
    from orderfleet.orders.worker import build as orders  # noqa: PLC0415
    from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS  # noqa: PLC0415
    from orderfleet.shipping.worker import build as shipping  # noqa: PLC0415
    from orderfleet.store.pool import connect  # noqa: PLC0415
    from orderfleet.temporal.worker import serve  # noqa: PLC0415

    async with (
        connect(settings, "all") as database,
        PAYMENT_PROVIDERS.open(settings) as provider,
        CARRIERS.open(settings) as carrier,
    ):
        await serve(settings, stop, [orders(settings, database, provider), shipping(settings, database, carrier)])


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

    _run("operator", run, settings)


@app.command(epilog="Examples:\n\n  $ orderfleet api\n\n  $ orderfleet api --host 127.0.0.1 --port 9000")
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of ORDERFLEET_API_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port instead of ORDERFLEET_API_PORT; 0: any free port.")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM; its documentation is at /docs.

    Outside a local stack, set ORDERFLEET_API_AUTH first: it says who may call the API.
    """
    options = {"api_host": host, "api_port": port}
    settings = read_settings(**{name: value for name, value in options.items() if value is not None})
    from orderfleet.api.serve import run  # noqa: PLC0415 - no other command loads fastapi

    _run("api", run, settings)


@app.command(
    epilog="Examples:\n\n  $ orderfleet codec\n\n"
    "  $ TEMPORAL_CODEC_ENDPOINT=http://127.0.0.1:8088 TEMPORAL_CODEC_AUTH='Bearer TOKEN' temporal workflow show"
    " -w order-ord-1"
)
def codec() -> None:
    """Run the codec server until SIGTERM.

    It authenticates callers as the HTTP API does.
    """
    settings = read_settings()
    from orderfleet.api.codec import run  # noqa: PLC0415 - no other command but the API loads fastapi

    _run("codec", run, settings, with_metrics=False)


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
    watched = read_settings().watched_namespaces()
    from orderfleet.operator.finalizers import remove_order_finalizers, stop_operators  # noqa: PLC0415
    from orderfleet.operator.kubernetes import Kubernetes  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.operator.main import login  # noqa: PLC0415

    async def run() -> int:
        async with Kubernetes(login, connections=20) as kubernetes:
            await stop_operators(kubernetes, deployments, stop_pods)
            return await remove_order_finalizers(kubernetes, watched)

    typer.echo(f"finalizer removed from {asyncio.run(run())} Orders")
