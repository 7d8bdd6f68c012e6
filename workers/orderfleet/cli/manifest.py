"""Reads order manifests from the command line: the same files that kubectl takes.

`orderfleet order start -f` calls it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from orderfleet.api.models import NewOrder
from orderfleet.cli.exits import Wrong
from orderfleet.contracts.complaints import complaint
from orderfleet.contracts.names import CRD_GROUP, CRD_VERSION

_NAMES: Final = {"orderId": "order_id", "paymentId": "payment_id"}
_OF_KUBERNETES: Final = frozenset({"deletionPolicy"})
"""Fields that say something about the Kubernetes object only."""


def read_manifests(file: Path) -> list[NewOrder]:
    """The orders in a file of one or more YAML documents; `-` is standard input.

    Raises:
        Wrong: the file can't be read or isn't made of Orders; each line names the place.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"can't read {file}: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise Wrong(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not documents:
        raise Wrong(f"{file} is empty; give an Order, such as deploy/samples/order.yaml")
    return [_order(file, document) for document in documents]


def _order(file: Path, document: Any) -> NewOrder:
    kind = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else None
    if kind != (f"{CRD_GROUP}/{CRD_VERSION}", "Order"):
        raise Wrong(f"{file}: expected apiVersion: {CRD_GROUP}/{CRD_VERSION} and kind: Order")
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise Wrong(f"{file}: spec: is missing; give items and address")
    if spec.get("cancel"):
        raise Wrong(f"{file}: spec.cancel: start the order first, then `orderfleet order cancel` it")
    fields = {_NAMES.get(name, name): value for name, value in spec.items() if name not in _OF_KUBERNETES}
    fields.pop("cancel", None)
    metadata = document.get("metadata") or {}
    try:
        return NewOrder.model_validate({"order_id": metadata.get("name"), **fields})
    except ValidationError as error:
        lines = [f"{file}: spec.{_path(found['loc'])}: {_message(found)}" for found in error.errors()]
        raise Wrong("\n".join(lines)) from None


def _path(location: tuple[int | str, ...]) -> str:
    theirs = {ours: name for name, ours in _NAMES.items()}
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{theirs.get(part, part)}" for part in location)
    return path.removeprefix(".")


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field of an Order; `kubectl explain orders.orderfleet.dev.spec` lists them"
    return complaint(problem)
