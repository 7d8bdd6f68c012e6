from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orderfleet.api.schemas import NewOrder, WorkflowId
from orderfleet.domain.inputs import validation_message
from orderfleet.domain.status import OrderFilter


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (NewOrder, {"order_id": "a b"}, "has to be 1 to 128 letters, digits"),
        (NewOrder, {"payment_id": "-"}, "has to be 1 to 200 letters, digits"),
        (WorkflowId, "ord-1", "has to be an order workflow's id: `order-` and the order id"),
        (NewOrder, {"items": [{"qty": 1}]}, "is missing; give it"),
        (NewOrder, {"items": [{"sku": "a", "qty": 1, "price": "4,50"}]}, "is not a decimal number; write it as text"),
        (NewOrder, {"customer": {"email": "x" * 321}}, "has more than 320 characters; write less"),
        (NewOrder, {"items": "tea"}, "input should be a valid tuple"),
        (NewOrder, {"address": "here"}, "has to be an object with fields"),
        (NewOrder, {"deadline": "0s"}, "has to be above zero; write 24h"),
        (NewOrder, {"deadline": "3d"}, "'3d' is not a duration: write 24h"),
        (NewOrder, {"deadline": [3]}, "is not a duration; write 24h"),
        (NewOrder, {"deadline": 3_599_996_401}, "is too long; write 999999h or less"),
        (NewOrder, {"deadline": 1e300}, "is not a duration; write 24h"),
        (OrderFilter, {"created_from": "yesterday"}, "is not a time; write 2026-11-21T10:00:00Z"),
        (OrderFilter, {"created_from": "2026-11-21T10:00:00"}, "has no zone; write 2026-11-21T10:00:00Z"),
    ],
)
def test_message_has_problem_and_remedy(kind: Any, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    (problem,) = caught.value.errors(include_input=False)
    assert validation_message(problem).startswith(message)
