"""`orderfleet order start`: starts orders from arguments or from the manifests that kubectl takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError

from orderfleet.api.order_input import order_id_for, to_input
from orderfleet.api.schemas import NewOrder
from orderfleet.cli.errors import UsageError
from orderfleet.cli.order import session
from orderfleet.cli.order.session import Connection, run
from orderfleet.cli.output import Output, OutputOption, console, print_document, progress, rows_table
from orderfleet.domain.inputs import field_path, validation_message
from orderfleet.domain.names import CRD_GROUP, CRD_VERSION
from orderfleet.domain.order import CaptureMode, OrderInput, ReviewMode
from orderfleet.domain.strict_models import UNKNOWN_FIELD
from orderfleet.services.errors import Started, StartOutcome

_FIELDS: Final = {"orderId": "order_id", "paymentId": "payment_id"}
_MANIFEST_NAMES: Final = {field: name for name, field in _FIELDS.items()} | {"on_timeout": "onTimeout"}
_DOCUMENT_KEYS: Final = ("apiVersion", "kind", "metadata", "spec", "status")

_KUBERNETES_ONLY: Final = frozenset({"deletionPolicy"})
"""Fields of the spec that concern the Kubernetes object, not the order."""


class _StrictLoader(yaml.SafeLoader):
    """Rejects a duplicate key, as kubectl does; the YAML library alone takes the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        duplicate = next((key for key in keys if keys.count(key) > 1), None)
        if duplicate is not None:
            raise ConstructorError(problem=f"the key {duplicate!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_manifests(file: Path) -> list[NewOrder]:
    """Return the orders in a file of one or more YAML documents; `-` is standard input.

    Raises:
        UsageError: the file can't be read, or a document isn't a valid Order; each line names the field.
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
        if name not in _DOCUMENT_KEYS:
            raise UsageError(f"{file}: {name}: is not known; an Order has {', '.join(_DOCUMENT_KEYS)}")
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: spec: is missing; give items and address")
    if spec.get("cancel"):
        raise UsageError(f"{file}: spec.cancel: start the order first, then `orderfleet order cancel` it")
    for name, alias in _FIELDS.items():
        if name in spec and alias in spec:
            raise UsageError(
                f"{file}: spec.{alias}: is another name of {name}, which is given too; give only one of them"
            )
    fields = {_FIELDS.get(name, name): value for name, value in spec.items() if name not in _KUBERNETES_ONLY}
    fields.pop("cancel", None)
    metadata = document.get("metadata") or {}
    try:
        return NewOrder.model_validate({"order_id": metadata.get("name"), **fields})
    except ValidationError as error:
        problems = [
            (field_path(_MANIFEST_NAMES.get(str(part), part) for part in each["loc"]), each) for each in error.errors()
        ]
        lines = [f"{file}: spec.{path}: {_message(problem)}" for path, problem in problems]
        raise UsageError("\n".join(lines)) from None


def _message(problem: Any) -> str:
    if problem["type"] == UNKNOWN_FIELD:
        nearest = problem["ctx"]["nearest"]
        did_you_mean = f"did you mean {_MANIFEST_NAMES.get(nearest, nearest)}?" if nearest else ""
        return f"is not known; {did_you_mean or '`kubectl explain orders.orderfleet.dev.spec` lists the fields'}"
    return validation_message(problem)


def start(
    order_id: Annotated[str | None, typer.Argument(metavar="ID", help="Generated and printed if left out.")] = None,
    payment_id: Annotated[str | None, typer.Argument(metavar="PAYMENT_ID", help="`pay-ID` if left out.")] = None,
    file: Annotated[
        Path | None, typer.Option("--filename", "-f", help="A manifest as for kubectl; - is standard input.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="The shop's own number of the order, any text.")] = None,
    adjustment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=AMOUNT[:DESCRIPTION]",
            help="Shipping, tax, discount or fee of the whole order, such as shipping=4.90; can be repeated.",
        ),
    ] = None,
    payment_method: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="The payment provider's token of the means of payment.")
    ] = None,
    capture: Annotated[CaptureMode | None, typer.Option(help="When the payment is captured.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start an order; starting the same id with the same content again changes nothing.

    Without a file a sample item and address are used, if ORDERFLEET_SAMPLE_ORDERS is on.
    """
    settings = session.local_settings()
    orders = _requested(
        file,
        order_id=order_id,
        payment_id=payment_id,
        reference=reference,
        adjustments=[_adjustment(text) for text in adjustment or ()] or None,
        payment={"method": payment_method, "capture": capture},
    )
    inputs = [to_input(order, order_id_for(order, None), settings) for order in orders]
    several = len(inputs) if len(inputs) > 1 else None

    async def each(connection: Connection) -> None:
        with progress("starting", several) as done:
            for order in inputs:
                _print_started(await connection.orders.start(order), order, output, stream=several is not None)
                done()

    run(each, settings)


def _adjustment(text: str) -> dict[str, str]:
    kind, has_amount, rest = text.partition("=")
    amount, _, description = rest.partition(":")
    if not has_amount:
        raise typer.BadParameter(f"{text!r} has no amount; write KIND=AMOUNT, such as shipping=4.90")
    return {"kind": kind.strip(), "amount": amount.strip(), "description": description}


def _requested(file: Path | None, payment: dict[str, Any], **options: Any) -> list[NewOrder]:
    orders = read_manifests(file) if file else [NewOrder()]
    given, terms = _given(options), _given(payment)
    if (given or terms) and len(orders) > 1:
        raise typer.BadParameter("an id or terms of an order can be given only for a file with one order")
    try:
        return [NewOrder.model_validate(_merged(order, given, terms)) for order in orders]
    except ValidationError as error:
        problem = error.errors()[0]
        raise typer.BadParameter(f"{field_path(problem['loc'])}: {validation_message(problem)}") from None


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _merged(order: NewOrder, given: dict[str, Any], payment: dict[str, Any]) -> dict[str, Any]:
    """The fields of the order, those that are given instead, and the terms of payment that are given instead."""
    fields = {**order.model_dump(exclude_unset=True), **given}
    return {**fields, "payment": {**(fields.get("payment") or {}), **payment}} if payment else fields


def _print_started(started: Started, order: OrderInput, output: Output, *, stream: bool) -> None:
    if output is not Output.TABLE:
        print_document({**started.model_dump(mode="json"), "payment_id": order.payment_id}, output, stream=stream)
        return
    is_new = started.outcome is StartOutcome.STARTED
    needs_approval = is_new and order.review.mode is ReviewMode.MANUAL and not order.approved
    rows = (
        ("order", started.order_id),
        ("payment", order.payment_id),
        ("workflow", started.workflow_id),
        ("", "started" if is_new else "already started by the same request"),
        ("next", f"orderfleet order {'approve' if needs_approval else 'status'} {started.order_id}"),
    )
    console().print(rows_table(rows))
