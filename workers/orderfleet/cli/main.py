"""Commands that are imported when they run, so that `--help` is quick and no role loads another's libraries.

`main` registers each with its help text only; this module swaps in the real one. It must never
import a command's module for listing or completing the names of others.
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
from orderfleet.cli.errors import EXITS, Exit, UsageError, complain, explain, leave
from orderfleet.cli.local_stack import is_installed
from orderfleet.domain.errors import OrderfleetError

HOME = "orderfleet_home"
"""Key in a command's context settings: the module that holds the real command as `app`."""


def register(root: typer.Typer, name: str, module: str, *, text: str, panel: str) -> None:
    """List a command of `root` whose `app` (or function of that name) is in `module`."""

    def stand_in() -> None:
        raise AssertionError(f"{name} was not loaded")

    settings = {"obj": {HOME: module}}
    root.command(name, help=text, rich_help_panel=panel, context_settings=settings)(stand_in)


class LazyGroup(TyperGroup):
    """A group that loads the command it is about to run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the real command instead of its stand-in."""
        name, command, rest = super().resolve_command(ctx, args)
        home = command.context_settings.get("obj", {}).get(HOME) if command else None
        return name, _load(home, name) if home and name else command, rest


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


if is_installed():
    register(
        app, "demo", "orderfleet_local.demo.command", panel=_TRY, text="Follow an order from kubectl apply to its end."
    )
    register(app, "stack", "orderfleet_local.cli.stack", panel=_TRY, text="Start, stop and inspect the local stack.")
    register(
        app, "env", "orderfleet_local.cli.env", panel=_TRY, text="Print what a shell needs to use the local stack."
    )

register(app, "order", "orderfleet.cli.order.command", panel=_ORDERS, text="Start, see and change orders.")

register(app, "worker", "orderfleet.cli.worker", panel=_PODS, text="Run the order steps, the shipping steps, or both.")

register(app, "operator", "orderfleet.cli.operator", panel=_PODS, text="Run the Kubernetes operator.")

register(app, "api", "orderfleet.cli.api", panel=_PODS, text="Run the HTTP API.")

register(app, "codec", "orderfleet.cli.codec", panel=_PODS, text="Open encrypted payloads for Temporal's own tools.")

register(app, "migrate", "orderfleet.cli.migrate", panel=_PODS, text="Bring the record's tables up to date.")

register(app, "erase", "orderfleet.cli.erase", panel=_ORDERS, text="Take out of the record what a customer gave.")

register(app, "prune", "orderfleet.cli.prune", panel=_ORDERS, text="Remove the trail of orders that ended long ago.")

register(
    app, "release", "orderfleet.cli.remove_finalizers", panel=_PODS, text="Let go of every Order before an uninstall."
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
