"""The translation of Temporal's errors."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.services.errors import TemporalUnavailable, translate_errors


def test_translate_errors_at_the_signal_limit_asks_for_a_retry() -> None:
    full = RPCError("exceeded workflow execution limit for signal events", RPCStatusCode.INVALID_ARGUMENT, b"")
    with pytest.raises(TemporalUnavailable, match="retry in some seconds"), translate_errors("ord-1"):
        raise full


def test_translate_errors_at_another_invalid_argument_raises_it_as_it_is() -> None:
    with pytest.raises(RPCError), translate_errors("ord-1"):
        raise RPCError("workflow id is not set", RPCStatusCode.INVALID_ARGUMENT, b"")
