"""The options of the commands that change an address. Each field of the address must have one option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

ADDRESS_OPTIONS: Final = {
    "--name": "name",
    "--company": "company",
    "--street": "street",
    "--street2": "street2",
    "--district": "district",
    "--city": "city",
    "--state": "state",
    "--zip": "zip",
    "--country": "country",
    "--phone": "phone",
}
"""The field of the address for each option."""

*_FIRST, _LAST = ADDRESS_OPTIONS
NOTHING_TO_CHANGE: Final = f"nothing to change; give {', '.join(_FIRST)} or {_LAST}"


def with_address_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the command's parameter `address` by the options.

    Args:
        command: takes `address` as a keyword-only argument: the given values by field, without those left out.
    """
    options = {
        f"address_{field}": inspect.Parameter(
            f"address_{field}",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(option, help="Of the new address.")],
        )
        for option, field in ADDRESS_OPTIONS.items()
    }

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {option: arguments.pop(f"address_{field}") for option, field in ADDRESS_OPTIONS.items()}
        for option, value in given.items():
            # Python keeps a byte that is no UTF-8 as half of a surrogate pair, which kubectl would replace.
            if value is not None and not value.isascii() and value.encode(errors="ignore").decode() != value:
                raise typer.BadParameter(f"{option}: is no text in UTF-8; write it in UTF-8")
        address = {ADDRESS_OPTIONS[option]: value for option, value in given.items() if value is not None}
        command(**arguments, address=address)

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += options.values() if name == "address" else [parameter]
    # Typer reads both.
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options
