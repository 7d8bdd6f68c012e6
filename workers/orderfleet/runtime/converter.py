"""Payloads as pydantic models, with one set of type adapters for the whole process.

`runtime.encryption` makes the data converter of every client and worker from it. The SDK makes a payload converter
anew for every workflow task, asks it for one of its context for every payload, and its pydantic one then begins with
an empty cache; this one costs nothing to make because all of its instances share their parts. They hold no state but
that cache.
"""

from __future__ import annotations

from typing import Final, Self

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter, SerializationContext

from orderfleet.runtime.failures import BoundedFailureConverter

_PARTS: Final = PydanticPayloadConverter().converters


class SharedPydanticConverter(CompositePayloadConverter):
    """Converts as `temporalio.contrib.pydantic` does."""

    def __init__(self) -> None:
        self.converters = _PARTS

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """The converter itself: none of its parts asks whose payload it is."""
        return self


class SameInEveryContext(DataConverter):
    """A data converter of which no part asks whose payload it is: the SDK asks for one of a context per payload."""

    def with_context(self, context: SerializationContext) -> Self:  # noqa: ARG002 - the SDK's signature
        """The converter itself."""
        return self


DATA_CONVERTER: Final = SameInEveryContext(
    payload_converter_class=SharedPydanticConverter, failure_converter_class=BoundedFailureConverter
)
"""The product's data converter before encryption; payloads are those of `pydantic_data_converter`."""
