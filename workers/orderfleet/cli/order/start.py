"""Reads order manifests from the command line: the same files that kubectl takes.

`orderfleet order start -f` calls it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError

from orderfleet.api.schemas import NewOrder
from orderfleet.cli import connection
from orderfleet.cli import output as progress
from orderfleet.cli.errors import UsageError
from orderfleet.cli.order.session import TABLE, run
from orderfleet.cli.output import Output, OutputOption, console, print_document, rows_table
from orderfleet.domain.names import CRD_GROUP, CRD_VERSION
from orderfleet.domain.strict_models import UNKNOWN_FIELD
from orderfleet.domain.validation_messages import validation_message

if TYPE_CHECKING:
    from orderfleet.cli.connection import Connection
    from orderfleet.domain.order import OrderInput
    from orderfleet.services.errors import Started


_NAMES: Final = {"orderId": "order_id", "paymentId": "payment_id"}

_THEIRS: Final = {ours: name for name, ours in _NAMES.items()} | {"on_timeout": "onTimeout"}

_OF_DOCUMENT: Final = ("apiVersion", "kind", "metadata", "spec", "status")

_OF_KUBERNETES: Final = frozenset({"deletionPolicy"})

"""Fields that say something about the Kubernetes object only."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, as kubectl does; YAML alone takes the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ConstructorError(problem=f"the key {twice!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_manifests(file: Path) -> list[NewOrder]:
    """The orders in a file of one or more YAML documents; `-` is standard input.

    Raises:
        Wrong: the file can't be read or isn't made of Orders; each line names the place.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        documents = [document for document in yaml.load_all(text, Loader=_StrictLoader) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read {file}: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError(f"{file} is nested too deep") from None
    if not documents:
        raise UsageError(f"{file} is empty; give an Order, such as deploy/samples/order.yaml")
    return [_order(file, document) for document in documents]


def _order(file: Path, document: Any) -> NewOrder:
    kind = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else None
    if kind != (f"{CRD_GROUP}/{CRD_VERSION}", "Order"):
        raise UsageError(f"{file}: expected apiVersion: {CRD_GROUP}/{CRD_VERSION} and kind: Order")
    for name in document:
        if name not in _OF_DOCUMENT:
            raise UsageError(f"{file}: {name}: is not known; an Order has {', '.join(_OF_DOCUMENT)}")
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: spec: is missing; give items and address")
    if spec.get("cancel"):
        raise UsageError(f"{file}: spec.cancel: start the order first, then `orderfleet order cancel` it")
    fields = {_NAMES.get(name, name): value for name, value in spec.items() if name not in _OF_KUBERNETES}
    fields.pop("cancel", None)
    metadata = document.get("metadata") or {}
    try:
        return NewOrder.model_validate({"order_id": metadata.get("name"), **fields})
    except ValidationError as error:
        lines = [f"{file}: spec.{_path(found['loc'])}: {_message(found)}" for found in error.errors()]
        raise UsageError("\n".join(lines)) from None


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_THEIRS.get(part, part)}" for part in location)
    return path.removeprefix(".")


def _message(problem: Any) -> str:
    if problem["type"] == UNKNOWN_FIELD:
        nearest = problem["ctx"]["nearest"]
        did_you_mean = f"did you mean {_THEIRS.get(nearest, nearest)}?" if nearest else ""
        return f"is not known; {did_you_mean or '`kubectl explain orders.orderfleet.dev.spec` lists the fields'}"
    return validation_message(problem)


def start(
    order_id: Annotated[str | None, typer.Argument(metavar="ID", help="Made and printed when left out.")] = None,
    payment_id: Annotated[str | None, typer.Argument(metavar="PAYMENT_ID", help="`pay-ID` when left out.")] = None,
    file: Annotated[
        Path | None, typer.Option("--filename", "-f", help="A manifest as kubectl takes it; - is standard input.")
    ] = None,
    output: OutputOption = TABLE,
) -> None:
    """Start an order; started again with the same id and content it is still one order.

    Without a file a sample item and address stand in, where ORDERFLEET_SAMPLE_ORDERS is on.
    """
    from orderfleet.api.order_input import order_id_for, to_input  # noqa: PLC0415 - `--help` needs none of these

    settings = connection.local_settings()
    orders = _requested(order_id, payment_id, file)
    inputs = [to_input(order, order_id_for(order, None), settings) for order in orders]
    several = len(inputs) if len(inputs) > 1 else None

    async def each(connection: Connection) -> None:
        with progress.shown("starting", several) as done:
            for order in inputs:
                _print_started(await connection.orders.start(order), order, output, stream=several is not None)
                done()

    run(each, settings)


def _requested(order_id: str | None, payment_id: str | None, file: Path | None) -> list[Any]:
    from pydantic import ValidationError  # noqa: PLC0415

    from orderfleet.api.schemas import NewOrder  # noqa: PLC0415
    from orderfleet.domain.validation_messages import validation_message  # noqa: PLC0415

    orders = read_manifests(file) if file else [NewOrder()]
    given = {"order_id": order_id, "payment_id": payment_id}
    named = {name: value for name, value in given.items() if value is not None}
    if named and len(orders) > 1:
        raise typer.BadParameter("an id can't be given for a file with more than one order")
    try:
        return [NewOrder.model_validate({**order.model_dump(exclude_unset=True), **named}) for order in orders]
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"{wrong['loc'][0]}: {validation_message(wrong)}") from None


def _print_started(started: Started, order: OrderInput, output: Output, *, stream: bool) -> None:
    if output is not Output.TABLE:
        print_document({**started.model_dump(mode="json"), "payment_id": order.payment_id}, output, stream=stream)
        return
    new = started.outcome == "started"
    waits = new and order.review.mode == "manual" and not order.approved
    rows = (
        ("order", started.order_id),
        ("payment", order.payment_id),
        ("workflow", started.workflow_id),
        ("", "started" if new else "was started before, by the same request"),
        ("next", f"orderfleet order {'approve' if waits else 'status'} {started.order_id}"),
    )
    console().print(rows_table(rows))
