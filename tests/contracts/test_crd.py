"""The CRD and the operator's models have the same fields, enums, patterns, lengths and names."""

from __future__ import annotations

import json
import re
import typing
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError

from orderfleet.api.schemas import NewOrder
from orderfleet.domain import names
from orderfleet.domain.base import MAX_TEXT_LENGTH as LONGEST_TEXT
from orderfleet.domain.base import ORDER_ID, PAYMENT_ID, OrderId, PaymentId
from orderfleet.domain.durations import MAX_DURATION, MIN_DURATION, PositiveDuration, format_duration, parse_duration
from orderfleet.domain.money import ADJUSTMENT_PATTERN, EXPONENTS, PRICE_PATTERN
from orderfleet.domain.order import ADDRESS_ALIASES, Address, OrderInput
from orderfleet.domain.policy import AddressChecks, AddressValidation
from orderfleet.domain.status import OrderStatus, ShipmentView
from orderfleet.domain.validation import address_problems
from orderfleet.operator.crd import MUTABLE, OrderResource, OrderResourceStatus, OrderSpec, ShipmentState
from orderfleet.settings import Settings

CHECKOUT = Path(__file__).parents[2]
CRD = yaml.safe_load((CHECKOUT / "charts/orderfleet/files/crds/orders.orderfleet.dev.yaml").read_text())
(VERSION,) = CRD["spec"]["versions"]
ROOT = VERSION["schema"]["openAPIV3Schema"]
SPEC, STATUS = ROOT["properties"]["spec"], ROOT["properties"]["status"]
SAMPLES = sorted((CHECKOUT / "deploy/samples").glob("*.yaml"))


def _plain(kind: Any) -> Any:
    """The type without `Annotated` and `None`."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in {typing.Union, UnionType}:
        (inner,) = [each for each in get_args(kind) if each is not NoneType]
        return _plain(inner)
    return kind


def _alias(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name


def _pairs(schema: dict[str, Any], kind: Any, where: str = "") -> typing.Iterator[tuple[str, dict[str, Any], Any]]:
    """Each path of the schema, with its schema and the type that reads it."""
    kind = _plain(kind)
    yield where, schema, kind
    if get_origin(kind) is tuple:
        yield from _pairs(schema["items"], get_args(kind)[0], f"{where}[]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            alias = _alias(kind, name)
            if alias in schema["properties"]:
                yield from _pairs(schema["properties"][alias], field.annotation, f"{where}.{alias}")


FIELDS = [*_pairs(SPEC, OrderSpec, "spec"), *_pairs(STATUS, OrderResourceStatus, "status")]
MODELS = [field for field in FIELDS if isinstance(field[2], type) and issubclass(field[2], BaseModel)]
ENUMS = [field for field in FIELDS if isinstance(field[2], type) and issubclass(field[2], StrEnum)]


def _read_as(model: type[BaseModel], name: str) -> list[str]:
    """The names under which a model reads a field."""
    aliases = model.model_fields[name].validation_alias
    return list(aliases.choices) if isinstance(aliases, AliasChoices) else [_alias(model, name)]


@pytest.mark.parametrize(("where", "schema", "model"), MODELS, ids=[field[0] for field in MODELS])
def test_every_property_has_its_field(where, schema, model):
    assert set(schema["properties"]) == {each for name in model.model_fields for each in _read_as(model, name)}


@pytest.mark.parametrize(("where", "schema", "model"), MODELS, ids=[field[0] for field in MODELS])
def test_required_field_of_a_model_is_required_in_the_schema(where, schema, model):
    needed = {_alias(model, name) for name, field in model.model_fields.items() if field.is_required()}
    if where.startswith("spec"):
        assert needed <= set(schema.get("required", ()))
    elif schema.get("required"):
        # The operator writes the status, with every required field.
        assert set(schema["required"]) <= needed


@pytest.mark.parametrize(("where", "schema", "kind"), ENUMS, ids=[field[0] for field in ENUMS])
def test_enum_has_the_same_values(where, schema, kind):
    assert schema["enum"] == [member.value for member in kind]


def test_types_are_the_same():
    expected = {bool: "boolean", int: "integer", str: "string", dict: "object"}
    for where, schema, kind in FIELDS:
        plain = get_origin(kind) or kind
        if plain in expected:
            assert schema["type"] == expected[plain], where


def test_names_equal_those_of_the_domain():
    assert CRD["metadata"]["name"] == f"{names.CRD_PLURAL}.{names.CRD_GROUP}"
    assert (CRD["spec"]["group"], VERSION["name"]) == (names.CRD_GROUP, names.CRD_VERSION)
    assert CRD["spec"]["names"]["plural"] == names.CRD_PLURAL


def _rules(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return schema.get("x-kubernetes-validations", [])


def _pattern(schema: dict[str, Any]) -> str:
    """The pattern in the schema's first rule, without CEL's quotes."""
    found = re.search(r"self\.matches\('(.+?)'\)", _rules(schema)[0]["rule"])
    assert found is not None
    return found[1].replace("\\\\", "\\")


def test_patterns_equal_those_of_the_domain():
    def own(kind: Any) -> str:
        return TypeAdapter(kind).json_schema()["pattern"]

    properties = SPEC["properties"]
    assert _pattern(properties["orderId"]) == own(OrderId)
    assert _pattern(properties["paymentId"]) == own(PaymentId)
    assert _pattern(properties["items"]["items"]["properties"]["price"]) == PRICE_PATTERN
    assert _pattern(properties["adjustments"]["items"]["properties"]["amount"]) == ADJUSTMENT_PATTERN
    assert all(re.fullmatch(_pattern(properties["currency"]), code) for code in EXPONENTS)


_FIRST_NAMES = {alias: name for name, alias in ADDRESS_ALIASES.items()}


def _lengths(schema: dict[str, Any], kind: Any, where: str = "") -> typing.Iterator[tuple[str, int | None, int | None]]:
    """Path and maximum length in schema and model of each text that has one in either."""
    definitions = TypeAdapter(kind).json_schema(by_alias=True, mode="validation")

    def both(crd: dict[str, Any], own: dict[str, Any], where: str) -> typing.Iterator[Any]:
        own = next((each for each in own.get("anyOf", ()) if each.get("type") != "null"), own)
        if "$ref" in own:
            own = definitions["$defs"][own["$ref"].rpartition("/")[2]]
        for name, below in crd.get("properties", {}).items():
            field = _FIRST_NAMES.get(name, name) if "street" in own["properties"] else name
            yield from both(below, own["properties"][field], f"{where}.{name}")
        if "items" in crd:
            yield from both(crd["items"], own["items"], f"{where}[]")
        if crd["type"] == "string" and {"maxLength"} & {*crd, *own}:
            yield where, crd.get("maxLength"), own.get("maxLength")

    yield from both(schema, definitions, where)


def test_lengths_equal_those_of_the_domain():
    properties = SPEC["properties"]
    found = {where: (crd, own) for where, crd, own in _lengths(SPEC, OrderSpec, "spec")}
    of_ids = {"spec.orderId": ORDER_ID, "spec.paymentId": PAYMENT_ID}
    for where, pattern in of_ids.items():
        assert found.pop(where)[0] == int(re.search(r"(\d+)\}", pattern)[1]) + 1, "the pattern bounds it"
    assert found.pop("spec.cancelReason")[0] == LONGEST_TEXT, (
        "the model cuts a longer one, because the cancel must be applied"
    )
    # These are numbers as text, with a pattern each.
    for where in [where for where, (_, own) in found.items() if own is None]:
        assert where.endswith((".price", ".amount", ".deadline", ".timeout"))
        del found[where]
    assert found == {where: (own, own) for where, (_, own) in found.items()}
    assert len(found) == 23
    assert properties["customer"]["properties"]["email"]["maxLength"] == 320


@given(st.from_regex(_pattern(SPEC["properties"]["deadline"]), fullmatch=True).filter(lambda text: len(text) <= 16))
def test_accepted_duration_is_parsed_unless_too_long(text):
    assume(re.search("[1-9]", text))
    try:
        parse_duration(text)
    except ValueError as error:
        assert "is too long" in str(error)  # noqa: PT017 - a pattern can't bound the sum of the parts
    else:
        assert MIN_DURATION <= TypeAdapter(PositiveDuration).validate_python(text) <= MAX_DURATION


def test_range_of_a_duration_equals_that_of_the_domain():
    (rule,) = _rules(SPEC["properties"]["deadline"])
    assert f"self.matches('[1-9]') && duration(self) <= duration('{format_duration(MAX_DURATION)}')" in rule["rule"]
    assert f"at most {format_duration(MAX_DURATION)}" in rule["message"]


@pytest.mark.parametrize("text", ["0.4us", "1.5us", "0.0001ms", "0.0000004s", "1ms0.1us", "0.25us"])
def test_duration_below_a_microsecond_is_rejected(text):
    assert not re.fullmatch(_pattern(SPEC["properties"]["deadline"]), text)
    with pytest.raises(ValueError, match="is finer than a microsecond"):
        parse_duration(text)


ORDER = {"order_id": "o", "items": [{"sku": "tea", "qty": 1, "price": "1"}], "address": {"street": "1 Main St"}}


@pytest.mark.parametrize("value", ["0s", "0.4us", "1000000h", 0, 4e-7])
@pytest.mark.parametrize("field", ["review.timeout", "delivery.timeout", "deadline"])
@pytest.mark.parametrize("model", [OrderInput, NewOrder, OrderSpec])
def test_duration_out_of_range_is_rejected_by_workflow_api_and_operator(model, field, value):
    outer, _, inner = field.partition(".")
    given = {**ORDER, outer: {inner: value} if inner else value}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    assert {".".join(map(str, each["loc"])) for each in caught.value.errors()} == {field}


@pytest.mark.parametrize("value", ["0s", "0.4us", "1000000h"])
@pytest.mark.parametrize("setting", ["review_timeout", "delivery_timeout", "order_deadline"])
def test_default_duration_out_of_range_is_rejected_by_the_settings(setting, value):
    with pytest.raises(ValidationError):
        Settings(**{setting: value})


def test_all_durations_have_the_same_rule():
    properties = SPEC["properties"]
    durations = [
        properties["deadline"],
        properties["review"]["properties"]["timeout"],
        properties["delivery"]["properties"]["timeout"],
    ]
    assert len({str(each["x-kubernetes-validations"]) for each in durations}) == 1
    assert all(each["maxLength"] == 16 for each in durations)


@pytest.mark.parametrize("validation", AddressValidation)
def test_street_is_the_only_field_that_every_address_needs(validation):
    schema = SPEC["properties"]["address"]
    assert "required" not in schema
    assert _rules(schema)[0]["rule"] == "has(self.street) || has(self.line1)"
    for country in ("", "JP", "SG"):
        checks = AddressChecks(validation=validation, default_country=country)
        assert address_problems(Address(), checks)[0].startswith("address.street: ")


@pytest.mark.parametrize(("name", "alias"), ADDRESS_ALIASES.items())
def test_two_names_of_a_field_of_the_address_have_one_rule(name, alias):
    schema = SPEC["properties"]["address"]
    assert schema["properties"][name] == schema["properties"][alias]
    assert f"!has(self.{name}) || !has(self.{alias}) || self.{name} == self.{alias}" in {
        each["rule"] for each in _rules(schema)
    }
    with pytest.raises(ValidationError, match=f"{name} and {alias} are two names of one field and differ"):
        Address.model_validate({name: "a", alias: "b"})
    assert getattr(Address.model_validate({alias: "b"}), name) == "b"
    assert getattr(Address.model_validate({alias: "b", name: "b"}), name) == "b"


def test_all_but_the_mutable_fields_are_immutable():
    mutable = {_alias(OrderSpec, name) for name in MUTABLE}
    frozen = {
        rule["fieldPath"].removeprefix(".")
        for rule in _rules(SPEC)
        if re.search(r"self\.(\w+) == oldSelf\.\1", rule["rule"])
    }
    assert frozen == set(SPEC["properties"]) - mutable


def test_capture_is_immutable_and_the_method_of_payment_is_not():
    (rule,) = [rule for rule in _rules(SPEC) if rule["fieldPath"].startswith(".payment.")]
    assert rule["fieldPath"] == ".payment.capture"
    assert "payment.method" not in rule["rule"]


def test_schema_has_no_defaults():
    assert '"default":' not in json.dumps(ROOT)


def test_rules_name_the_field_and_end_without_a_full_stop():
    for where, schema, _ in [("", ROOT, None), *FIELDS]:
        for rule in _rules(schema):
            assert not rule["message"].endswith("."), where
            # The API server prints the path first, so a rule of a whole object names its field.
            assert schema["type"] != "object" or rule["fieldPath"].startswith("."), where


@pytest.mark.parametrize("column", VERSION["additionalPrinterColumns"], ids=lambda column: column["name"])
def test_printer_column_reads_an_existing_field(column):
    node = ROOT
    for part in re.sub(r"\[.*?\]", "[]", column["jsonPath"]).strip(".").split("."):
        if part == "metadata":
            return
        node = node["properties"][part.removesuffix("[]")]
        node = node["items"] if part.endswith("[]") else node


def test_status_has_every_field_of_the_view():
    of_spec = {"address", "reference"}
    shown = {*OrderResourceStatus.model_fields, *of_spec, "payment", "declared"}
    assert set(OrderStatus.model_fields) <= shown | {"order_id"}
    assert set(ShipmentState.model_fields) == set(ShipmentView.model_fields)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_parsed_by_the_model(path):
    body = yaml.safe_load(path.read_text())
    body["metadata"] |= {"namespace": "shop", "uid": "1"}
    order = OrderResource.model_validate(body)
    assert order.spec.model_dump(mode="json", by_alias=True, exclude_unset=True) == body["spec"]
