"""Arguments of a client: read, or rejected with the reason, and never anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from orderfleet.domain.inputs import InputRejected, Unreadable, read, read_none, read_one, read_reason
from orderfleet.domain.order import Address, OrderInput, SpecUpdate
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.shipment import ShippingInput

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING)
@pytest.mark.parametrize("model", [Address, SpecUpdate, OrderInput, ShippingInput])
def test_any_value_is_read_or_rejected(model: type[BaseModel], value: Any) -> None:
    with suppress(InputRejected):
        assert isinstance(read(model, value), model)


def test_an_error_of_a_validator_is_a_rejection() -> None:
    class Stumbling(BaseModel):
        value: int

        @field_validator("value")
        @classmethod
        def _stumble(cls, value: int) -> int:
            raise OverflowError(value)

    with pytest.raises(InputRejected, match=r"Stumbling: can't be read \(OverflowError\)"):
        read(Stumbling, {"value": 1})


@pytest.mark.parametrize("args", [[], [{}, {}]])
def test_another_number_of_arguments_is_rejected(args: list[Any]) -> None:
    with pytest.raises(InputRejected, match=f"takes one argument, an object of type Address; {len(args)} were given"):
        read_one(Address, args)


def test_a_payload_that_was_not_converted_is_rejected_with_its_reason() -> None:
    broken = Unreadable("the payload is broken")
    for reader in (
        lambda: read_one(Address, [broken]),
        lambda: read_none([broken]),
        lambda: read_reason([broken], "canceled"),
    ):
        with pytest.raises(InputRejected, match="the payload is broken"):
            reader()


@pytest.mark.parametrize("args", [[], [None], [{}], [None, {}]])
def test_no_argument_may_be_sent_as_null_or_as_an_empty_object(args: list[Any]) -> None:
    read_none(args)


@pytest.mark.parametrize("value", [0, False, "", [], {"by": "me"}])
def test_an_argument_where_none_is_taken_is_rejected(value: Any) -> None:
    with pytest.raises(InputRejected, match="takes no argument"):
        read_none([value])


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([], "none"),
        ([None], "none"),
        ([""], "none"),
        (["a"], "a"),
        ([{"reason": "a"}], "a"),
        ([{}], "none"),
    ],
)
def test_a_reason_is_a_text_or_an_object_or_left_out(args: list[Any], reason: str) -> None:
    assert read_reason(args, "none") == reason


@pytest.mark.parametrize("args", [[7], [b"a"], [["a"]], [{"reason": 7}], ["a", "b"]])
def test_another_reason_is_rejected(args: list[Any]) -> None:
    with pytest.raises(InputRejected, match="reason"):
        read_reason(args, "none")


@pytest.mark.parametrize(
    "change",
    [
        {"charge": {"attempts": 2**31}},
        {"charge": {"attempts": 0}},
        {"charge": {"backoff": 1e300}},
        {"charge": {"attempt_timeout": "0s"}},
        {"retry_forever_backoff": {"longest": "1000000h"}},
        {"shipping_attempts": 101},
        {"shipping_task_queue": "/_sys/own"},
        {"shipping_task_queue": "q" * 201},
        {"changes_per_run": 0},
    ],
)
def test_a_policy_out_of_range_is_rejected(change: dict[str, Any]) -> None:
    (field,) = change
    with pytest.raises(InputRejected, match=rf"^{field}"):
        read(OrderPolicy, change)
    with pytest.raises(InputRejected, match=rf"^{field}"):
        read(OrderPolicy, {**json.loads(OrderPolicy().model_dump_json()), **change})
