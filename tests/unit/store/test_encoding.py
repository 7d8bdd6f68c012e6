from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderfleet.domain.order import Item
from orderfleet.domain.status import Step
from orderfleet.store.encoding import as_json, as_text, events_only
from support.sample_rows import event, progress

LOST = "\N{REPLACEMENT CHARACTER}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_valid_text_is_unchanged(text: str) -> None:
    assert as_text(text) == text
    assert json.loads(as_json(event("k", text=text)))["detail"]["text"] == text


@given(st.text(st.sampled_from('\0\\u0a"\ud800')))
def test_any_text_is_encoded_to_text_that_postgres_accepts(text: str) -> None:
    kept = json.loads(as_json(event("k", text=text)))["detail"]["text"]
    assert kept == text.replace("\0", LOST).replace("\ud800", "?")
    assert as_text(text) == kept
    kept.encode()


@pytest.mark.parametrize("price", ["10.00", "0.0001", "1234567890.1234"])
def test_decimals_are_json_strings(price: str) -> None:
    assert json.loads(as_json([Item(sku="x", qty=1, price=Decimal(price))]))[0]["price"] == price
    assert json.loads(as_json(event("k", amount=Decimal(price))))["detail"]["amount"] == price


def test_null_text_stays_null() -> None:
    assert as_text(None) is None


def test_events_only_has_a_number_that_is_never_new() -> None:
    given = json.loads(events_only([event("k")]))
    assert given["seq"] == 0
    assert given["events"] == json.loads(as_json(progress(1, Step.RECEIVE, "k")))["events"]
