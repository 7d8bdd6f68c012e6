"""The data converter before encryption: compact Pydantic models, and failures with messages of bounded length.

Temporal replaces a failure that is too large, and its type is lost. A worker's converter must never raise: any client
can send a payload, and a conversion that raises fails the workflow task or drops the signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, Self

from pydantic import ValidationError
from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import any_schema
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    PayloadConverter,
    SerializationContext,
)
from temporalio.exceptions import ApplicationError, FailureError

from orderfleet.domain.base import MAX_TEXT_LENGTH, truncate
from orderfleet.domain.inputs import Unreadable, explain
from orderfleet.domain.status import OrderStatus


class BoundedFailureConverter(DefaultFailureConverter):
    """Converts as the SDK does, and truncates messages."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Convert the exception; the SDK calls this for each of its causes too."""
        super().to_failure(_bounded(exception), payload_converter, failure)


class EncryptedFailureConverter(BoundedFailureConverter):
    """Converts as `BoundedFailureConverter`; messages and stack traces become part of the encrypted payload."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _bounded(error: BaseException) -> BaseException:
    """Return an error that is the same to Temporal, with a message of bounded length."""
    if isinstance(error, ApplicationError):
        # A failure from Temporal is bounded already.
        if error.failure is not None or len(error.message) <= MAX_TEXT_LENGTH:
            return error
        bounded = ApplicationError(
            truncate(error.message),
            *error.details,
            type=error.type,
            non_retryable=error.non_retryable,
            next_retry_delay=error.next_retry_delay,
            category=error.category,
        )
    elif isinstance(error, FailureError) or len(str(error)) <= MAX_TEXT_LENGTH:
        return error
    else:
        bounded = ApplicationError(truncate(str(error)), type=type(error).__name__)
    bounded.__traceback__ = error.__traceback__
    bounded.__cause__, bounded.__context__ = error.__cause__, error.__context__
    bounded.__suppress_context__ = error.__suppress_context__
    return bounded


class CompactJSONConverter(PydanticJSONPlainPayloadConverter):
    """Reads as `temporalio.contrib.pydantic` does, and writes models without the fields that have their default.

    Most fields of an activity's input do, and payloads are most of an order's history. A default that running workflows
    rely on must not change (`tests/contracts/test_payload_defaults.py`). The status of an order is for other clients as
    well, so it is written in full, but for the amounts of its payment that its status implies.
    """

    def to_payload(self, value: Any) -> Payload | None:
        """Convert the value to JSON."""
        if isinstance(value, OrderStatus):
            data = _SERIALIZER.to_json(value, exclude={"payment": set(value.payment.implied)})
        else:
            data = _SERIALIZER.to_json(value, exclude_defaults=True)
        return Payload(metadata={"encoding": self.encoding.encode()}, data=data)


_SERIALIZER: Final = SchemaSerializer(any_schema())

_PARTS: Final = {**PydanticPayloadConverter().converters, b"json/plain": CompactJSONConverter()}


class SharedPydanticConverter(CompositePayloadConverter):
    """Converts as `temporalio.contrib.pydantic` does, with `CompactJSONConverter`."""

    def __init__(self) -> None:
        self.converters = _PARTS

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """Return the converter itself: none of its parts depends on the context."""
        return self


UNDECRYPTABLE: Final = b"binary/undecryptable"
"""Encoding with which a worker's codec replaces a payload that no key decrypts; the data is the reason."""


class WorkerPayloadConverter(SharedPydanticConverter):
    """Converts as `SharedPydanticConverter`, and never raises: an invalid payload becomes an `Unreadable`."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Convert each payload to a value or an `Unreadable`."""
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001 - any of them can be invalid, in any way
            hints = (type_hints or [])[: len(payloads)]
            return [self._read(payload, hint) for payload, hint in zip_longest(payloads, hints)]

    def _read(self, payload: Payload, hint: type | None) -> Any:
        encoding = payload.metadata.get("encoding", b"")
        if encoding == UNDECRYPTABLE:
            return Unreadable(truncate(payload.data.decode("utf-8", "replace")), encrypted=True)
        name = encoding.decode("ascii", "backslashreplace")[:_MAX_ENCODING_LENGTH]
        if encoding not in self.converters:
            return Unreadable(f"the payload has the unknown encoding {name!r}; send json/plain")
        try:
            return super().from_payloads([payload], None if hint is None else [hint])[0]
        except ValidationError as error:
            return Unreadable(explain(error, getattr(hint, "__name__", "the payload")))
        except Exception as error:  # noqa: BLE001 - each encoding has its own parser and errors
            return Unreadable(f"the payload can't be read as {name} ({type(error).__name__})")


_MAX_ENCODING_LENGTH: Final = 64


class SameInEveryContext(DataConverter):
    """A data converter that does not depend on the context. The SDK asks for one for each payload."""

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """Return the converter itself."""
        return self


DATA_CONVERTER: Final = SameInEveryContext(
    payload_converter_class=SharedPydanticConverter, failure_converter_class=BoundedFailureConverter
)
"""The data converter before encryption; it reads what `pydantic_data_converter` reads."""
