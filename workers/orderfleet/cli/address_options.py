"""The options of the commands that change an address. Each field of the address must have one option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

ADDRESS_FIELDS: Final = ("name", "company", "street", "street2", "district", "city", "state", "zip", "country", "phone")
"""The fields of the address, whose names are those of the options too. The kubectl plugin loads no models for them."""

NOTHING_TO_CHANGE: Final = f"nothing to change; give --{', --'.join(ADDRESS_FIELDS[:-1])} or --{ADDRESS_FIELDS[-1]}"


def with_address_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the command's parameter `address` by the options.

    Args:
        command: takes `address` as a keyword-only argument: the given values by field, without those left out.
    """
    options = [
        inspect.Parameter(
            f"address_{field}",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(f"--{field}", help="Of the new address.")],
        )
        for field in ADDRESS_FIELDS
    ]

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {field: arguments.pop(f"address_{field}") for field in ADDRESS_FIELDS}
        address = {field: value for field, value in given.items() if value is not None}
        for field, value in address.items():
            # Python keeps a byte that is no UTF-8 as half of a surrogate pair, which kubectl would replace.
            if value.encode(errors="ignore").decode() != value:
                raise typer.BadParameter(f"--{field}: is no text in UTF-8; write it in UTF-8")
        command(**arguments, address=address)

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += options if name == "address" else [parameter]
    # Typer reads both.
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options
