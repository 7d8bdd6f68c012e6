"""Reads order manifests from the command line: the same files that kubectl takes.

`orderfleet order start -f` calls it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError

from orderfleet.api.models import NewOrder
from orderfleet.cli.exits import Wrong
from orderfleet.contracts.complaints import complaint
from orderfleet.contracts.names import CRD_GROUP, CRD_VERSION
from orderfleet.contracts.strict import UNKNOWN_FIELD

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
        raise Wrong(f"can't read {file}: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise Wrong(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise Wrong(f"{file} is nested too deep") from None
    if not documents:
        raise Wrong(f"{file} is empty; give an Order, such as deploy/samples/order.yaml")
    return [_order(file, document) for document in documents]


def _order(file: Path, document: Any) -> NewOrder:
    kind = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else None
    if kind != (f"{CRD_GROUP}/{CRD_VERSION}", "Order"):
        raise Wrong(f"{file}: expected apiVersion: {CRD_GROUP}/{CRD_VERSION} and kind: Order")
    for name in document:
        if name not in _OF_DOCUMENT:
            raise Wrong(f"{file}: {name}: is not known; an Order has {', '.join(_OF_DOCUMENT)}")
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
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_THEIRS.get(part, part)}" for part in location)
    return path.removeprefix(".")


def _message(problem: Any) -> str:
    if problem["type"] == UNKNOWN_FIELD:
        nearest = problem["ctx"]["nearest"]
        did_you_mean = f"did you mean {_THEIRS.get(nearest, nearest)}?" if nearest else ""
        return f"is not known; {did_you_mean or '`kubectl explain orders.orderfleet.dev.spec` lists the fields'}"
    return complaint(problem)
