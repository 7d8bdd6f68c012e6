"""How much is kept of what somebody else wrote: a caller's reason, an adapter's error.

Whoever takes such words in cuts them, before they travel with the order or stand in its record.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 1000
"""Characters that are kept; a signal or an error may have megabytes, and Temporal takes 2 MiB in one piece."""


def cut(text: str) -> str:
    """The beginning of what somebody wrote."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
