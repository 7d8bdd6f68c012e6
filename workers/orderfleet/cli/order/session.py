"""What all verbs share: their arguments, and one connection for as long as a command asks.

The verbs' modules call it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from orderfleet.cli import connection, loop, progress
from orderfleet.cli.order.completion import order_ids
from orderfleet.cli.show import Output
from orderfleet.contracts.names import may_be_workflow_id

if TYPE_CHECKING:
    from orderfleet.cli.connection import Reach
    from orderfleet.runtime.settings import Settings

OrderId = Annotated[
    str, typer.Argument(metavar="ID", help="The order's id, or its workflow's: order-ID.", autocompletion=order_ids)
]
Street = Annotated[str | None, typer.Option(help="Of the new address.")]
City = Annotated[str | None, typer.Option(help="Of the new address.")]
State = Annotated[str | None, typer.Option(help="Of the new address.")]
Zip = Annotated[str | None, typer.Option("--zip", help="Of the new address.")]
Country = Annotated[str | None, typer.Option(help="Of the new address.")]

TABLE: Final = Output.TABLE
NO_REASON: Final = "canceled on request"

_T = TypeVar("_T")


def example(*lines: str) -> str:
    """The examples below a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  $ orderfleet order {line}" for line in lines)


async def named(there: Reach, name: str) -> str:
    """The id of the order that was named by its id or its workflow's; see `OrderDesk.order_id_of`."""
    return await there.desk.order_id_of(name) if may_be_workflow_id(name) else name


def ask(
    call: Callable[[Reach], Awaitable[_T]], waits_for: str = "waiting for an answer", settings: Settings | None = None
) -> _T:
    """Connect, make one call, and say what is waited for when that takes long."""
    with progress.shown(waits_for):
        return run(call, settings)


def run(call: Callable[[Reach], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """As `ask`, for what shows by itself how it goes."""
    given = settings or connection.settings_here()

    async def main() -> _T:
        async with connection.reach(given) as there:
            return await call(there)

    return loop.run(main())
