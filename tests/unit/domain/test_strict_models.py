"""JSON of clients: its nesting is bounded, before anything recursive reads it."""

from __future__ import annotations

import pytest

from orderfleet.domain.strict_models import MAX_DEPTH, TooDeep, read_json


def nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_json_is_read_up_to_the_maximum_depth(opening, closing):
    read_json(nested(MAX_DEPTH, opening, closing))
    for depth in (MAX_DEPTH + 1, 400, 950, 100_000):
        with pytest.raises(TooDeep, match=f"is nested deeper than {MAX_DEPTH} levels"):
            read_json(nested(depth, opening, closing))
