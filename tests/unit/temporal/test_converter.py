"""The data converter converts as Temporal's Pydantic converter, and reuses its parts."""

from __future__ import annotations

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import WithSerializationContext, WorkflowSerializationContext

from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.settings import Settings
from orderfleet.temporal.data_converter import DATA_CONVERTER, SharedPydanticConverter
from orderfleet.temporal.encryption import data_converter

ORDER = OrderInput(order_id="o-1", items=(Item(sku="a", qty=2, price="9.99"),), address=Address(street="1 Main St"))


async def test_payloads_and_those_of_the_sdk_are_read_by_both() -> None:
    values = ["plain", None, {"a": 1}, b"raw"]
    assert await DATA_CONVERTER.encode(values) == await pydantic_data_converter.encode(values)
    for writer, reader in ((DATA_CONVERTER, pydantic_data_converter), (pydantic_data_converter, DATA_CONVERTER)):
        assert await reader.decode(await writer.encode([ORDER]), [OrderInput]) == [ORDER]


def test_converters_share_their_parts_and_return_themselves_for_every_context() -> None:
    first, second = SharedPydanticConverter(), SharedPydanticConverter()
    assert first.converters is second.converters
    context = WorkflowSerializationContext(namespace="default", workflow_id="order-1")
    assert not any(isinstance(part, WithSerializationContext) for part in first.converters.values())
    assert DATA_CONVERTER.with_context(context) is DATA_CONVERTER
    # So does the converter with encryption.
    sealing = data_converter(Settings())
    assert sealing.with_context(context) is sealing
    assert not any(
        isinstance(part, WithSerializationContext) for part in (sealing.payload_codec, sealing.failure_converter)
    )
