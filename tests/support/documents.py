"""Code blocks of Markdown documents, and the commands among them that no test runs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from orderfleet_local.stack import paths

PROVIDERS = paths.checkout() / "deploy" / "docs" / "providers.md"
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

RUN = "sh run"
NOT_RUN = {
    "make test": "it runs this test",
    "kubectl create secret generic orderfleet-stripe --from-file=api-key": "tests/charts/test_stripe.py runs it",
    "kubectl create secret generic orderfleet-stripe-webhooks --from-file=webhook-secrets": "the same",
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


@dataclass(frozen=True)
class Exchange:
    """A request and its response in a document."""

    method: str
    path: str
    """With the query."""
    key: str
    """Empty for a request without one."""
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
        key, authorization = headers.get("Idempotency-Key", ""), headers["Authorization"]
        found.append(Exchange(method, path, key, authorization, asked, int(status), said))
    return found


def files(document: Path) -> dict[str, str]:
    """The blocks that have a file name, by that name."""
    found = [(block.info.partition("file=")[2], block.text) for block in blocks(document)]
    return {name: f"{text}\n" for name, text in found if name}


def _read(text: str) -> tuple[list[str], Message, dict[str, Any]]:
    start, _, rest = text.partition("\n")
    message = Parser().parsestr(rest)
    return start.split(), message, json.loads(message.get_payload() or "{}")
