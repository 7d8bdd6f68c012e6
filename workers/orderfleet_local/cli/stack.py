"""`orderfleet stack`: the local stack from the command line.

It parses, prints and sets exit codes; `orderfleet_local.stack` does the work. It must never start or signal a process
itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from orderfleet.cli.errors import Exit
from orderfleet.cli.output import Output, OutputOption, console, examples, plain_table, print_document
from orderfleet_local.stack import lifecycle, paths
from orderfleet_local.stack.errors import AlreadyRunning, NoSuchPart, NotUp, StackError, log_tail
from orderfleet_local.stack.optional_services import OPTIONAL_SERVICES
from orderfleet_local.stack.state import PartStatus, StackState, inspect, load

_FOLLOW_SECONDS: Final = 0.2

app = typer.Typer(
    no_args_is_help=True,
    help="Run all of Orderfleet on this machine: Postgres, Temporal, a Kubernetes API server and the product.",
    epilog="Exit status: 0 done, 1 failed, 2 wrong arguments, 3 no such part, 5 the stack or a part is not running,"
    " 6 runs already, 7 another command is starting or stopping it, 130 interrupted.",
)


_examples = partial(examples, "orderfleet stack")


@app.command(epilog=_examples("up", "up --fresh"))
def up(
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove all data of an earlier stack first.")] = False,
) -> None:
    """Start every part and print its address. Data of an earlier stack is kept.

    Prometheus and an OpenTelemetry collector are started too if they are installed.
    Parts that have stopped, or that don't respond, are started again.
    """
    try:
        state = lifecycle.up(_say, fresh=fresh, optional=OPTIONAL_SERVICES)
    except AlreadyRunning:
        _say("it runs already; `orderfleet stack down` stops it")
        print_links(load())
        raise typer.Exit(Exit.ALREADY_RUNNING) from None
    print_links(state)


@app.command(epilog=_examples("down", "down --wipe"))
def down(wipe: Annotated[bool, typer.Option("--wipe", help="Remove the data and logs too.")] = False) -> None:
    """Stop every process of the stack, and no other; also after a crash of `up`."""
    ended = lifecycle.down(_say, wipe=wipe)
    _say(f"stopped {', '.join(ended)}" if ended else "nothing was running")


@app.command(epilog=_examples("restart orders-worker", "restart"))
def restart(
    service: Annotated[str | None, typer.Argument(help="A part as `status` names it; without it, all.")] = None,
) -> None:
    """Stop a part, or the whole stack, gracefully and start it again on the same ports."""
    if service is None:
        print_links(lifecycle.up(_say, optional=OPTIONAL_SERVICES, again=True))
    else:
        lifecycle.restart(service, progress=_say)


@app.command(epilog=_examples("status", "status -o json | jq -r .links.api"))
def status(output: OutputOption = Output.TABLE) -> None:
    """Show each part: whether it runs, its process, address and log. Exit status 5 unless all run."""
    state = load()
    parts = inspect(paths.state_dir())
    if output is not Output.TABLE:
        print_document({"links": links(state), "parts": [asdict(part) for part in parts]}, output)
    elif not parts:
        _say("the stack isn't up; `orderfleet stack up` starts it")
    else:
        console().print(_table(parts))
        for part in parts:
            if part.problem is not None:
                _say(f"{part.name} runs but does not respond: {part.problem}; `orderfleet stack up` restarts it")
        print_links(state)
    if not parts or any(not part.ok for part in parts):
        raise typer.Exit(Exit.UNAVAILABLE)


@app.command(epilog=_examples("logs api --lines 100", "logs orders-worker --follow"))
def logs(
    service: Annotated[str, typer.Argument(help="A part as `status` names it, or `migrate` or `crd`.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Number of lines from the end.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
) -> None:
    """Print the end of a part's log."""
    folder = paths.state_dir() / "logs"
    log = folder / f"{service}.log"
    if not log.exists():
        known = sorted(path.name.removesuffix(".log") for path in folder.glob("*.log") if ".previous" not in path.name)
        if not known:
            raise NotUp
        raise NoSuchPart(f"there is no log of {service}; there are {', '.join(known)}")
    with log.open(errors="replace") as file:
        typer.echo(log_tail(log, lines)) if lines else None
        if follow:
            file.seek(0, 2)
            _follow(file.read, lambda text: typer.echo(text, nl=False))


def links(state: StackState | None) -> dict[str, Any]:
    """Return the addresses of a stack by name; empty if there is none."""
    if state is None:
        return {}
    addresses: dict[str, Callable[[], str | Path]] = {
        "api": lambda: state.api_url,
        "api_docs": lambda: f"{state.api_url}/docs",
        "temporal_ui": lambda: state.temporal_ui_url,
        "temporal_address": lambda: state.temporal_address,
        "database": lambda: state.database_url,
        "kubeconfig": lambda: state.kubeconfig,
        "prometheus": lambda: state.prometheus_url,
        "alerts": lambda: f"{state.prometheus_url}/alerts",
        "traces": lambda: state.traces_log,
        "logs": lambda: state.logs,
    }
    found: dict[str, Any] = {}
    for name, address in addresses.items():
        try:
            found[name] = str(address())
        except StackError:
            continue  # the stack has no such part
    return {**found, "metrics": state.metrics_urls}


def print_links(state: StackState | None) -> None:
    """Print the addresses of a stack."""
    found = links(state)
    rows = {
        "API": found.get("api_docs"),
        "Temporal Web UI": found.get("temporal_ui"),
        "Postgres": found.get("database"),
        "Prometheus": found.get("prometheus"),
        "Alerts": found.get("alerts"),
        "Traces": found.get("traces"),
        **{f"Metrics of {name}": url for name, url in found.get("metrics", {}).items()},
        "Logs": found.get("logs"),
        "kubectl": f"export KUBECONFIG={found['kubeconfig']}" if "kubeconfig" in found else None,
    }
    for label, value in rows.items():
        if value:
            typer.echo(f"  {label:<30} {value}")


def _table(parts: list[PartStatus]) -> Table:
    table = plain_table("PART", "STATE", "PROCESS", "UP", "PORTS")
    for part in parts:
        color = "green" if part.ok else "red"
        uptime = "" if part.seconds is None else f"{part.seconds // 60:.0f}m {part.seconds % 60:.0f}s"
        ports = " ".join(f"{purpose}:{port}" for purpose, port in part.ports.items())
        table.add_row(part.name, f"[{color}]{part.state}[/]", str(part.pid or ""), uptime, ports)
    return table


def _follow(read: Callable[[], str], write: Callable[[str], None]) -> None:
    try:
        while True:
            text = read()
            if text:
                write(text)
            else:
                time.sleep(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return


def _say(text: str) -> None:
    typer.echo(f"stack: {text}")
