"""Payloads leave out fields that have their default, so a default that running workflows rely on must not change."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import orderfleet.domain
from orderfleet.domain.base import Contract
from orderfleet.domain.order import OrderInput
from orderfleet.domain.policy import CURRENT_DEFAULTS, AddressChecks, OrderPolicy
from orderfleet.orders.state import OrderState
from orderfleet.temporal.data_converter import DATA_CONVERTER

DEFAULTS = Path(__file__).with_name("payload_defaults.json")


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _default(field: FieldInfo) -> object:
    """The field's default; of a nested model what differs from its own defaults, which have names of their own."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return None
    return TypeAdapter(field.annotation).dump_python(value, mode="json", exclude_defaults=True)


def _defaults() -> dict[str, object]:
    for module in pkgutil.iter_modules(orderfleet.domain.__path__, "orderfleet.domain."):
        importlib.import_module(module.name)
    models = [*(model for model in _models(Contract) if model.__module__.startswith("orderfleet.domain.")), OrderState]
    return {
        f"{model.__name__}.{name}": _default(field)
        for model in sorted(models, key=lambda model: model.__name__)
        for name, field in model.model_fields.items()
        if field.default is not PydanticUndefined or field.default_factory is not None
    }


def test_defaults_of_payloads_are_those_that_running_workflows_rely_on():
    pinned, current = json.loads(DEFAULTS.read_text(encoding="utf-8")), _defaults()
    changed = {name for name in pinned.keys() & current.keys() if pinned[name] != current[name]}
    assert not changed, f"give these fields another name, or no default so that they are always written: {changed}"
    new = "\n".join(f'"{name}": {json.dumps(current[name])},' for name in current if name not in pinned)
    assert not new, f"fields with a default are new; add these lines to {DEFAULTS.name}:\n{new}"
    gone = sorted(pinned.keys() - current.keys())
    assert not gone, f"histories may have these fields, which no model has now; if none has, remove the lines: {gone}"


def test_payload_has_only_fields_that_differ_from_their_default():
    class Given(Contract):
        name: str
        note: str = ""
        tags: dict[str, str] = Field(default={})
        count: int = 1

    payload = DATA_CONVERTER.payload_converter.to_payload(Given(name="a", note="", count=2))
    assert json.loads(payload.data) == {"name": "a", "count": 2}
    assert DATA_CONVERTER.payload_converter.from_payload(payload, Given) == Given(name="a", count=2)


def test_policy_of_defaults_is_written_with_their_number():
    policy = OrderPolicy(address_checks=AddressChecks())
    payload = DATA_CONVERTER.payload_converter.to_payload(OrderInput(order_id="o-1", policy=policy))
    assert json.loads(payload.data)["policy"] == {"defaults": CURRENT_DEFAULTS}
