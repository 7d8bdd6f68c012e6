"""Failures for Temporal: the message of any error is truncated, and its type is kept."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from orderfleet.domain.base import MAX_TEXT_LENGTH, truncate
from orderfleet.domain.errors import CarrierRefused, ProviderUnavailable
from orderfleet.settings import Settings
from orderfleet.temporal.data_converter import DATA_CONVERTER
from orderfleet.temporal.encryption import data_converter

ENDLESS = "the bank says no: " + "x" * 3_000_000


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The error with its traceback and cause."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


async def converted(error: Exception, converter: DataConverter) -> Failure:
    failure = Failure()
    await converter.encode_failure(error, failure)
    return failure


@pytest.fixture
def encrypting(tmp_path) -> DataConverter:
    (tmp_path / "one").write_bytes(base64.b64encode(bytes(32)))
    return data_converter(Settings(encryption_keys_dir=tmp_path, encryption_key_id="one"))


async def test_long_messages_of_an_error_and_its_causes_are_truncated() -> None:
    failure = await converted(raised(CarrierRefused(ENDLESS), ValueError(ENDLESS)), DATA_CONVERTER)
    assert failure.message == truncate(ENDLESS)
    assert failure.application_failure_info.type == "CarrierRefused"
    assert failure.cause.message == truncate(ENDLESS)
    assert failure.cause.application_failure_info.type == "ValueError"
    assert "raised" in failure.stack_trace
    assert failure.ByteSize() < 16 * MAX_TEXT_LENGTH


async def test_truncated_error_keeps_its_type_details_and_retry_fields() -> None:
    error = ApplicationError(ENDLESS, 2, type="ProviderUnavailable", next_retry_delay=timedelta(seconds=7))
    failure = await converted(raised(error), DATA_CONVERTER)
    info = failure.application_failure_info
    assert (info.type, info.non_retryable, info.next_retry_delay.seconds) == ("ProviderUnavailable", False, 7)
    assert await DATA_CONVERTER.decode(info.details.payloads) == [2]
    assert failure.message == truncate(ENDLESS)


async def test_short_message_is_unchanged() -> None:
    theirs = await converted(ProviderUnavailable("503"), DataConverter.default)
    assert await converted(ProviderUnavailable("503"), DATA_CONVERTER) == theirs


async def test_encrypted_message_is_truncated(encrypting: DataConverter) -> None:
    failure = await converted(raised(CarrierRefused(ENDLESS)), encrypting)
    assert failure.message == "Encoded failure"
    assert failure.ByteSize() < 16 * MAX_TEXT_LENGTH
    decoded = await encrypting.decode_failure(failure)
    assert isinstance(decoded, ApplicationError)
    assert (decoded.message, decoded.type) == (truncate(ENDLESS), "CarrierRefused")
