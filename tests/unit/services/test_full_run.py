"""A workflow's run that has taken all the signals it may: told as a thing that passes, not as a bug."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.services.errors import TemporalUnavailable, translated


def test_a_run_that_is_full_takes_the_same_call_later() -> None:
    refused = RPCError("exceeded workflow execution limit for signal events", RPCStatusCode.INVALID_ARGUMENT, b"")
    with pytest.raises(TemporalUnavailable, match="wait a moment"), translated("ord-1"):
        raise refused


def test_another_wrong_argument_is_a_mistake_of_ours() -> None:
    with pytest.raises(RPCError), translated("ord-1"):
        raise RPCError("workflow id is not set", RPCStatusCode.INVALID_ARGUMENT, b"")
