"""Commands that are imported when they run, so that `--help` is quick and no role loads another's libraries.

`main` registers each with its help text only; this module swaps in the real one. It must never
import a command's module for listing or completing the names of others.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from orderfleet.cli.exits import Wrong

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
        raise Wrong(
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
