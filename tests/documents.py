"""Code blocks of Markdown documents, for tests that run or check them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from demo.readme import blocks
from orderfleet_local.stack import paths

PROVIDERS = paths.checkout() / "deploy" / "docs" / "providers.md"


@dataclass(frozen=True)
class Exchange:
    """A request and its response in a document."""

    path: str
    key: str
    authorization: str
    asked: dict[str, Any]
    status: int
    said: dict[str, Any]


def exchanges(document: Path) -> list[Exchange]:
    """The pairs of `http` blocks of a document, in order."""
    shown = [block.text for block in blocks(document) if block.info == "http"]
    found = []
    for request, response in zip(shown[::2], shown[1::2], strict=True):
        (method, path, _), headers, asked = _read(request)
        (_, status, *_), _, said = _read(response)
        assert method == "POST"
        found.append(Exchange(path, headers["Idempotency-Key"], headers["Authorization"], asked, int(status), said))
    return found


def files(document: Path) -> dict[str, str]:
    """The blocks that have a file name, by that name."""
    found = [(block.info.partition("file=")[2], block.text) for block in blocks(document)]
    return {name: f"{text}\n" for name, text in found if name}


def _read(text: str) -> tuple[list[str], Message, dict[str, Any]]:
    start, _, rest = text.partition("\n")
    message = Parser().parsestr(rest)
    return start.split(), message, json.loads(message.get_payload())
