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
from typer.main import get_group

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
        module: dotted name of the module whose `app` has the command, or is the group called `name`.
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
    # A group's own completion options would only repeat the root's.
    group = get_group(found.app)
    command = group.commands.get(name, group)
    command.name = name
    return command


_LOCAL: Final = "On this machine"
_ADAPTERS: Final = "Adapters"
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


_COMMANDS: Final = (
    ("demo", "orderfleet_local.demo.command", _LOCAL, "Follow an order from kubectl apply to its end."),
    ("stack", "orderfleet_local.cli.stack", _LOCAL, "Start, stop and inspect the local stack."),
    ("env", "orderfleet_local.cli.env", _LOCAL, "Print what a shell needs to use the local stack."),
    ("order", "orderfleet.cli.order", _ORDERS, "Start, inspect and change orders."),
    ("payments", "orderfleet.cli.payments", _ORDERS, "List, export, refund and retry payments."),
    ("stock", "orderfleet.cli.stock", _ORDERS, "List, count and adjust what is in stock."),
    ("worker", "orderfleet.cli.roles", _PODS, "Run the order steps, the shipping steps, or both."),
    ("operator", "orderfleet.cli.roles", _PODS, "Run the Kubernetes operator."),
    ("api", "orderfleet.cli.roles", _PODS, "Run the HTTP API."),
    ("codec", "orderfleet.cli.roles", _PODS, "Decrypt payloads for Temporal's own tools."),
    ("migrate", "orderfleet.cli.database", _PODS, "Apply the database migrations that are missing."),
    ("erase", "orderfleet.cli.database", _ORDERS, "Erase a customer's personal data."),
    ("prune", "orderfleet.cli.database", _ORDERS, "Remove details of orders that ended long ago."),
    ("remove-finalizers", "orderfleet.cli.roles", _PODS, "Remove the operator's finalizer from every Order."),
    ("conformance", "orderfleet.cli.conformance", _ADAPTERS, "Check a payment adapter against its guarantees."),
    ("settings", "orderfleet.cli.settings", _PODS, "Print the settings in effect."),
)
for _name, _module, _panel, _text in _COMMANDS:
    if _panel != _LOCAL or is_installed():
        register(app, _name, _module, text=_text, panel=_panel)


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
