"""Payloads as pydantic models, with one set of type adapters for the whole process.

`runtime.encryption` makes the data converter of every client and worker from it. The SDK makes a payload converter
anew for every workflow task, asks it for one of its context for every payload, and its pydantic one then begins with
an empty cache; this one costs nothing to make because all of its instances share their parts. They hold no state but
that cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, Self

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter, SerializationContext

from orderfleet.contracts.inputs import Unreadable, explain
from orderfleet.contracts.words import cut
from orderfleet.runtime.failures import BoundedFailureConverter

_PARTS: Final = PydanticPayloadConverter().converters


class SharedPydanticConverter(CompositePayloadConverter):
    """Converts as `temporalio.contrib.pydantic` does."""

    def __init__(self) -> None:
        self.converters = _PARTS

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """The converter itself: none of its parts asks whose payload it is."""
        return self


UNOPENED: Final = b"binary/unopened"
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
        if encoding == UNOPENED:
            return Unreadable(cut(payload.data.decode("utf-8", "replace")), encrypted=True)
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
