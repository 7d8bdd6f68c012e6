"""Cursors of lists: a position that a client sends back unread."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orderfleet.api.order_input import Unprocessable

Position = TypeVar("Position", bound=BaseModel)


def encode_cursor(position: BaseModel | None) -> str | None:
    """The cursor of a position; None at the end."""
    if position is None:
        return None
    return base64.urlsafe_b64encode(position.model_dump_json().encode()).decode().rstrip("=")


def decode_cursor(kind: type[Position], cursor: str | None) -> Position | None:
    """The position of a cursor; None for the first page.

    Args:
        kind: model of the position.
        cursor: what `encode_cursor` returned; None for the first page.

    Raises:
        Unprocessable: it is no such cursor.
    """
    if cursor is None:
        return None
    try:
        return kind.model_validate_json(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValidationError, ValueError):
        raise Unprocessable(["cursor: is not the `next` of a page; omit it to get the first page"]) from None
