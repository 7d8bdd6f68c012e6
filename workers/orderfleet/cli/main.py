"""The command line's table of contents: `orderfleet`, `python -m orderfleet`, and every pod's entry point.

Each command lives in the module named here and is loaded when it runs.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Final, NoReturn

import typer

from orderfleet import __version__
from orderfleet.cli.exits import EXITS, Exit, complain, explain, leave
from orderfleet.cli.lazy import LazyGroup, register
from orderfleet.contracts.errors import OrderfleetError

_TRY: Final = "On this machine"
_ORDERS: Final = "Orders"
_PODS: Final = "What the pods run"

app = typer.Typer(
    name="orderfleet",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Order fulfilment on Kubernetes: an Order resource, durable workflows, nothing charged twice.",
    epilog=f"Examples:\n\n  $ orderfleet demo\n\n  $ orderfleet order status ord-1\n\n{EXITS}",
)

register(app, "demo", "orderfleet.cli.demo.command", panel=_TRY, text="Follow an order from kubectl apply to its end.")
register(app, "stack", "orderfleet.cli.stack", panel=_TRY, text="Start, stop and look at the local stack.")
register(app, "env", "orderfleet.cli.env", panel=_TRY, text="Print what a shell needs to use the local stack.")
register(app, "order", "orderfleet.cli.order.command", panel=_ORDERS, text="Start, see and change orders.")
register(app, "worker", "orderfleet.cli.worker", panel=_PODS, text="Run the order steps, the shipping steps, or both.")
register(app, "operator", "orderfleet.cli.operator", panel=_PODS, text="Run the Kubernetes operator.")
register(app, "api", "orderfleet.cli.api", panel=_PODS, text="Run the HTTP API.")
register(app, "codec", "orderfleet.cli.codec", panel=_PODS, text="Open encrypted payloads for Temporal's own tools.")
register(app, "migrate", "orderfleet.cli.migrate", panel=_PODS, text="Bring the record's tables up to date.")
register(app, "erase", "orderfleet.cli.erase", panel=_ORDERS, text="Take out of the record what a customer gave.")
register(app, "prune", "orderfleet.cli.prune", panel=_ORDERS, text="Remove the trail of orders that ended long ago.")
register(app, "release", "orderfleet.cli.release", panel=_PODS, text="Let go of every Order before an uninstall.")
register(app, "settings", "orderfleet.cli.settings", panel=_PODS, text="Print the settings in effect.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orderfleet {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> NoReturn:
    """Run the command line; errors that are ours or the user's end in a line or two and an exit status."""
    try:
        code = int(app(standalone_mode=False, prog_name="orderfleet") or Exit.DONE)
    except typer.TyperException as error:
        if usage := _usage(error):
            complain(usage)
        code = error.exit_code
    except OrderfleetError as error:
        code, text = explain(error)
        complain(text, each=code is Exit.WRONG)
    except typer.Abort:
        complain("aborted")
        code = Exit.FAILED
    except KeyboardInterrupt:
        complain("interrupted")
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough, as `head` does; nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    leave(code)


def _usage(error: typer.TyperException) -> str:
    """One line for wrong arguments; nothing where the help was shown instead."""
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "orderfleet"
    return f"{message.rstrip('.')}; see `{path} --help`" if message else ""
