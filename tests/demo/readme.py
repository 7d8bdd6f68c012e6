"""Reads the code blocks of documents, and lists the commands that no test runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

RUN = "sh run"
NOT_RUN = {
    "make test": "it runs this test",
}
"""Commands of blocks that no test runs, each with its reason."""


@dataclass(frozen=True)
class Block:
    info: str
    text: str
    line: int


def blocks(file: Path | str) -> list[Block]:
    """Return the code blocks of a file or a text."""
    text = file if isinstance(file, str) else file.read_text()
    return [
        Block(found["info"].strip(), found["text"].strip(), text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line and not line.startswith("#")]
