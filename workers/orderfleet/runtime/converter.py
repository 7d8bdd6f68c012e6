"""Payloads as pydantic models, with one set of type adapters for the whole process.

`runtime.encryption` makes the data converter of every client and worker from it. The SDK makes a payload converter
anew for every workflow task and its pydantic one then begins with an empty cache; this one is cheap
to make because all of its instances share their parts. They hold no state but that cache.
"""

from __future__ import annotations

from typing import Final

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter

_PARTS: Final = tuple(PydanticPayloadConverter().converters.values())


class SharedPydanticConverter(CompositePayloadConverter):
    """Converts as `temporalio.contrib.pydantic` does."""

    def __init__(self) -> None:
        super().__init__(*_PARTS)


DATA_CONVERTER: Final = DataConverter(payload_converter_class=SharedPydanticConverter)
"""The product's data converter before encryption; payloads are those of `pydantic_data_converter`."""
