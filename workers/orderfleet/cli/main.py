"""The `orderfleet` command: its list of commands, and how a run ends.

A command's module is imported when the command runs, so that `--help` is quick and no role loads another's
libraries. Listing or completing names must never import a command's module.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from orderfleet import __version__
from orderfleet.cli.errors import EXITS, Exit, UsageError, exit_process, explain, print_error
from orderfleet.cli.local_stack import is_installed
from orderfleet.domain.errors import OrderfleetError

MODULE_KEY = "orderfleet_module"
"""Key in a command's context settings: the module that holds the real command as `app`."""


def register(root: typer.Typer, name: str, module: str, *, text: str, panel: str) -> None:
    """Add a command to `root` without importing its module.

    Args:
        root: the application.
        name: of the command.
        module: dotted name of the module that has the command as `app`, or as a function called `name`.
        text: help in the list of commands.
        panel: heading in the list of commands.
    """

    def placeholder() -> None:
        raise AssertionError(f"{name} was not loaded")

    settings = {"obj": {MODULE_KEY: module}}
    root.command(name, help=text, rich_help_panel=panel, context_settings=settings)(placeholder)


class LazyGroup(TyperGroup):
    """A group of commands that imports only the command to run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command from its own module, and the remaining arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        module = command.context_settings.get("obj", {}).get(MODULE_KEY) if command else None
        return name, _load(module, name) if module and name else command, rest


def _load(module: str, name: str) -> Any:
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("orderfleet"):
            raise
        raise UsageError(
            f"`{name}` needs {error.name}, which is not part of this installation; run it from a checkout: make {name}"
        ) from None
    app = getattr(found, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name, epilog=getattr(found, "EPILOG", None))(getattr(found, name))
    # A group's own completion options would only repeat the root's.
    command = get_group(app) if len(app.registered_commands) > 1 else get_command(app)
    command.name = name
    return command


_LOCAL: Final = "On this machine"
_ORDERS: Final = "Orders"
_PODS: Final = "What the pods run"

_EXAMPLES: Final = (*(("demo",) if is_installed() else ()), "order status ord-1")

app = typer.Typer(
    name="orderfleet",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Order fulfillment on Kubernetes: an Order resource, durable workflows, nothing charged twice.",
    epilog="\n\n".join(("Examples:", *(f"  $ orderfleet {example}" for example in _EXAMPLES), EXITS)),
)


if is_installed():
    register(
        app,
        "demo",
        "orderfleet_local.demo.command",
        panel=_LOCAL,
        text="Follow an order from kubectl apply to its end.",
    )
    register(app, "stack", "orderfleet_local.cli.stack", panel=_LOCAL, text="Start, stop and inspect the local stack.")
    register(
        app, "env", "orderfleet_local.cli.env", panel=_LOCAL, text="Print what a shell needs to use the local stack."
    )

register(app, "order", "orderfleet.cli.order.command", panel=_ORDERS, text="Start, inspect and change orders.")
register(app, "worker", "orderfleet.cli.worker", panel=_PODS, text="Run the order steps, the shipping steps, or both.")
register(app, "operator", "orderfleet.cli.operator", panel=_PODS, text="Run the Kubernetes operator.")
register(app, "api", "orderfleet.cli.api", panel=_PODS, text="Run the HTTP API.")
register(app, "codec", "orderfleet.cli.codec", panel=_PODS, text="Decrypt payloads for Temporal's own tools.")
register(app, "migrate", "orderfleet.cli.migrate", panel=_PODS, text="Apply the database migrations that are missing.")
register(app, "erase", "orderfleet.cli.erase", panel=_ORDERS, text="Erase a customer's personal data.")
register(app, "prune", "orderfleet.cli.prune", panel=_ORDERS, text="Remove details of orders that ended long ago.")
register(
    app,
    "remove-finalizers",
    "orderfleet.cli.remove_finalizers",
    panel=_PODS,
    text="Remove the operator's finalizer from every Order.",
)
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
    """Declare the options that come before a command."""


def main() -> NoReturn:
    """Run the command line and exit: expected errors as one or a few lines on standard error, others as a traceback."""
    try:
        code = int(app(standalone_mode=False, prog_name="orderfleet") or Exit.DONE)
    except typer.TyperException as error:
        if usage := _usage(error):
            print_error(usage)
        code = error.exit_code
    except OrderfleetError as error:
        code, text = explain(error)
        print_error(text, each_line=code is Exit.INVALID)
    except typer.Abort:
        print_error("aborted")
        code = Exit.FAILED
    except KeyboardInterrupt:
        print_error("interrupted")
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does: nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.DONE
    exit_process(code)


def _usage(error: typer.TyperException) -> str:
    """Return one line for wrong arguments; empty where the help was shown instead."""
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "orderfleet"
    return f"{message.rstrip('.')}; see `{path} --help`" if message else ""
