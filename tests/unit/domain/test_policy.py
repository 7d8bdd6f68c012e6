"""A policy travels as the number of its defaults and what differs from them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orderfleet.domain import policy
from orderfleet.domain.policy import (
    CURRENT_DEFAULTS,
    AddressChecks,
    AddressValidation,
    OrderPolicy,
    OutagePolicy,
    StepPolicy,
)

PINNED = {
    "receive": {"attempt_timeout": "3s"},
    "validation": {"attempt_timeout": "3s"},
    "record": {"attempt_timeout": "3s"},
    "charge": {"attempt_timeout": "4s"},
    "prepare_package": {"attempt_timeout": "5s"},
    "dispatch_carrier": {"attempt_timeout": "5s"},
    "refund": {"attempt_timeout": "5s"},
    "capture": {"attempt_timeout": "5s"},
}
CURRENT = OrderPolicy(address_checks=AddressChecks())
STEP = {"attempts": 3, "initial_interval": "1s", "backoff": 2.0, "maximum_interval": "30s", "total_timeout": "1h"}
"""Running orders were started on these values. To change a default, copy all of them to `OTHER_DEFAULTS` under
`CURRENT_DEFAULTS`, and raise that number by one."""

durations = st.integers(1, 10**12).map(lambda count: timedelta(microseconds=count))
steps = st.builds(
    StepPolicy,
    attempt_timeout=durations,
    attempts=st.integers(1, 2**31 - 1),
    initial_interval=durations,
    backoff=st.floats(1, 1000),
    maximum_interval=durations,
    total_timeout=durations,
)
changes = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(PINNED, steps),
        "outage": st.builds(OutagePolicy, first=durations, longest=durations),
        "shipping_attempts": st.integers(1, 100),
        "shipping_task_queue": st.just("elsewhere"),
        "require_prices": st.booleans(),
        "address_checks": st.builds(
            AddressChecks,
            validation=st.sampled_from(AddressValidation),
            default_country=st.sampled_from(["", "US"]),
        ),
        "changes_per_run": st.integers(1, 10_000),
    },
)


@given(changes)
def test_policy_written_and_read_again_is_equal(given_changes):
    original = OrderPolicy(**given_changes)
    assert OrderPolicy.model_validate_json(original.model_dump_json()) == original
    assert OrderPolicy.model_validate(original.model_dump()) == original


def test_policy_of_defaults_alone_is_written_as_their_number():
    assert CURRENT.model_dump(mode="json") == {"defaults": CURRENT_DEFAULTS}
    assert OrderPolicy.model_validate({"defaults": CURRENT_DEFAULTS}) == CURRENT


def test_policy_of_a_raw_start_has_no_checks_of_addresses():
    raw = OrderPolicy.model_validate({"shipping_attempts": 3})
    assert raw.address_checks is None
    assert OrderPolicy.model_validate(raw.model_dump(mode="json")) == raw


def test_field_of_a_step_that_differs_is_written_without_the_others():
    own = CURRENT
    changed = own.model_copy(update={"charge": own.charge.model_copy(update={"attempts": 7})})
    assert changed.model_dump(mode="json") == {"defaults": CURRENT_DEFAULTS, "charge": {"attempts": 7}}
    assert OrderPolicy.model_validate(changed.model_dump(mode="json")).charge.attempt_timeout == timedelta(seconds=4)


def test_current_defaults_are_those_that_running_orders_were_started_on():
    full = policy._plain(CURRENT)
    assert full.pop("address_checks") == {"validation": "required", "default_country": ""}
    assert {name: full.pop(name) for name in PINNED} == {name: {**STEP, **own} for name, own in PINNED.items()}
    assert full.pop("outage") == {"first": "1s", "longest": "1m"}
    assert full.pop("capture_retries") == {"first": "1m", "longest": "1h"}
    assert full.pop("payment_look_ups") == {"first": "5s", "longest": "5m"}
    assert (full.pop("payment_hold"), full.pop("payment_pending")) == ("168h", "1h")
    assert sorted(map(repr, full.values())) == sorted(
        map(repr, [2, 1000, {"first": "1s", "longest": "1h"}, "shipping-tq", None])
    )
    assert CURRENT_DEFAULTS == 1


@pytest.mark.parametrize("number", [CURRENT_DEFAULTS - 1, CURRENT_DEFAULTS + 1], ids=["earlier", "next"])
def test_policy_on_other_defaults_keeps_them(monkeypatch, number):
    other = {**policy._plain(OrderPolicy()), "shipping_attempts": 9}
    monkeypatch.setattr(policy, "OTHER_DEFAULTS", {number: other})
    read = OrderPolicy.model_validate({"defaults": number, "charge": {"attempts": 1}})
    assert (read.shipping_attempts, read.charge.attempts) == (9, 1)
    assert read.charge.attempt_timeout == timedelta(seconds=4)


def test_policy_on_unknown_defaults_is_rejected_with_the_number():
    with pytest.raises(ValidationError, match="no defaults of number 99"):
        OrderPolicy.model_validate({"defaults": 99})
