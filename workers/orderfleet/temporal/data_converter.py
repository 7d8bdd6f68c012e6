"""Failures as Temporal keeps them: of an error's message, and of those it came from, the beginning is kept.

The data converters of every client and worker use it. An adapter of a user's own may raise whatever its provider
said; Temporal puts a failure of its own in place of one that is too large, and what kind it was is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, Self

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import PydanticPayloadConverter
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


class BoundedFailureConverter(DefaultFailureConverter):
    """Converts as the SDK does, with messages cut."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Convert the exception; the SDK comes here for each that it came from as well."""
        super().to_failure(_bounded(exception), payload_converter, failure)


class EncryptedFailureConverter(BoundedFailureConverter):
    """The same; messages and stack traces go where they are encrypted."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _bounded(error: BaseException) -> BaseException:
    """The same error to Temporal, with a message that may travel."""
    if isinstance(error, ApplicationError):
        # One that came from Temporal is as it was.
        if error.failure is not None or len(error.message) <= MAX_TEXT_LENGTH:
            return error
        told = ApplicationError(
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
        told = ApplicationError(truncate(str(error)), type=type(error).__name__)
    told.__traceback__ = error.__traceback__
    told.__cause__, told.__context__ = error.__cause__, error.__context__
    told.__suppress_context__ = error.__suppress_context__
    return told


_PARTS: Final = PydanticPayloadConverter().converters


class SharedPydanticConverter(CompositePayloadConverter):
    """Converts as `temporalio.contrib.pydantic` does."""

    def __init__(self) -> None:
        self.converters = _PARTS

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """The converter itself: none of its parts asks whose payload it is."""
        return self


UNDECRYPTABLE: Final = b"binary/unopened"

"""Encoding of what the codec of a worker puts in place of a payload that no key opens; the data is the reason."""


class WorkerPayloadConverter(SharedPydanticConverter):
    """Converts as `SharedPydanticConverter`, and never raises: what can't be converted is an `Unreadable`.

    For workers. A payload may come from any client of Temporal, and a conversion that raises fails the workflow task,
    or drops the signal.
    """

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Convert each payload to a value or an `Unreadable`."""
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001 - whatever it is, one of them is at fault
            hints = (type_hints or [])[: len(payloads)]
            return [self._read(payload, hint) for payload, hint in zip_longest(payloads, hints)]

    def _read(self, payload: Payload, hint: type | None) -> Any:
        encoding = payload.metadata.get("encoding", b"")
        if encoding == UNDECRYPTABLE:
            return Unreadable(truncate(payload.data.decode("utf-8", "replace")), encrypted=True)
        name = encoding.decode("ascii", "backslashreplace")[:_LONGEST_NAME]
        if encoding not in self.converters:
            return Unreadable(f"the payload has the unknown encoding {name!r}; send json/plain")
        try:
            return super().from_payloads([payload], None if hint is None else [hint])[0]
        except ValidationError as error:
            return Unreadable(explain(error, getattr(hint, "__name__", "the payload")))
        except Exception as error:  # noqa: BLE001 - each encoding has a parser of its own, with errors of its own
            return Unreadable(f"the payload can't be read as {name} ({type(error).__name__})")


_LONGEST_NAME: Final = 64


class SameInEveryContext(DataConverter):
    """A data converter of which no part asks whose payload it is: the SDK asks for one of a context per payload."""

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """The converter itself."""
        return self


DATA_CONVERTER: Final = SameInEveryContext(
    payload_converter_class=SharedPydanticConverter, failure_converter_class=BoundedFailureConverter
)

"""The product's data converter before encryption; payloads are those of `pydantic_data_converter`."""
