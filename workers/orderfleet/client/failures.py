"""Failures that Temporal tells, made readable: their messages may be encrypted.

`OrderClient` and `OrderInspector` call it on what Temporal answered, before they read it.
"""

from __future__ import annotations

from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import FailureError

from orderfleet.contracts.errors import PayloadSealed


async def readable(answer: Message, converter: DataConverter) -> None:
    """Put each failure's message back in place, wherever in `answer`; without the key it says so instead."""
    for field, value in answer.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            found = [entry for entry in value.values() if isinstance(entry, Message)]
        else:
            found = [value] if isinstance(value, Message) else list(value)
        for message in found:
            if isinstance(message, Failure):
                await _open(message, converter)
            else:
                await readable(message, converter)


async def _open(failure: Failure, converter: DataConverter) -> None:
    try:
        error: BaseException | None = await converter.decode_failure(failure)
    except PayloadSealed as sealed:
        failure.message = str(sealed)
        return
    while isinstance(error, FailureError):
        failure.message = error.message
        failure, error = failure.cause, error.__cause__
