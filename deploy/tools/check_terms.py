"""Checks that names and prose use the project's terms; `make lint` runs it.

Each row of `TERMS` is a pattern that the project does not use, and the term to write instead. Text in backquotes and
URLs is not read, so a document can quote another program. Files that others wrote are not read either.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

CHECKOUT = Path(__file__).parents[2]
TERMS: Final = {
    r"(?:_|\b)(?:told|tells?|telling)(?:_|\b)": "record, write, report, send, return or notify",
    r"\b(?:whoever|whomever|somebody|someone|nobody|anybody|no one)\b": "the actor: the operator, the carrier, …",
    r"\banew\b": "again",
    r"\b(?:a|the|its|their|our) words? (?:of|from|on)\b|'s words?\b": "message, text, status or report",
    r"\b(?:news|hearsay|farewell)\b": "changes, events or notification",
    r"\b(?:goes|go|went|going) on(?= (?:with|as|when|where|until|after|while|like)\b|[.;,:)]|$)": "continue or proceed",
    r"\b(?:is|are|was|were|be) away\b": "is unavailable",
    r"\b(?:give|gives|given|gave|giving) back\b|(?:_|\b)give_back(?:_|\b)": "refund or return",
    r"\b(?:take|takes|taken|took) back\b|(?:_|\b)take_back(?:_|\b)": "void, cancel or roll back",
    r"\b(?:foregone|meanwhile|at hand|of late|hence|thereof|therein|wherein)\b": "a plain word, or nothing",
    r"\bso many (?:seconds|of)\b": "the quantity with its unit",
    r"\b(?:become|becomes|became) of\b|\b(?:came|comes|come) of (?:it|them)\b": "result or outcome",
    r"\bthe record\b(?! (?:of|for) a\b)": "the order store or the database",
    r"\b(?:on its way|under way)\b": "in transit or in progress",
    r"(?:_|\b)(?:deaf|unheard|impatient|patience)(?:_|\b)": "disconnected, timed out or timeout",
    r"\bstands? (?:still|in for|beside)\b": "is blocked, replaces or is next to",
    r"\bfor good\b(?! reason)": "permanently",
    r"\bonce, ever\b": "only once",
    # asyncio spells its method `cancelled()`, gRPC its status `CANCELLED`.
    r"\b(?:fulfilments?|(?<!StatusCode\.)cancelled(?!\()|cancelling)\b": "the US spelling",
    r"\b(?:behaviours?|colours?|licences?)\b": "the US spelling",
    r"\b(?:authoris|initialis|normalis|recognis|serialis)(?:e[sd]?|ing|ation)\b": "the US spelling",
    r"\bOrderDesk\b": "OrderService",
    r"\bCarrierDesk\b": "OrderService.apply_carrier_update",
    r"\bPayloadSealed\b": "PayloadDecryptionError",
    r"\bRequestTurnedAway\b": "ProviderRequestRejected",
    r"\bSettleWorkflow\b": "CompensationWorkflow",
    r"\bSweepWorkflow\b": "OrphanSweepWorkflow",
    r"\bUpkeepActivities\b": "MaintenanceActivities",
}
"""Patterns, without regard to case, and what to write instead."""
SUFFIXES: Final = {".py", ".md", ".sql", ".yaml", ".yml", ".tpl", ".toml", ".sh", ".txt", ".html", ".j2", ""}
HIDDEN_FOLDERS: Final = {".ci", ".github"}
"""The folders with a leading dot that are read."""
NOT_READ: Final = re.compile(
    r"(^|/)(LICENSE|static|dist|htmlcov|node_modules|__pycache__)(/|$)"
    r"|^tests/histories/\d|/(?:check|test)_terms\.py$|\bgo\.(?:mod|sum)$"
)
"""Files of others, generated files, and the two files that name the patterns."""
_QUOTED: Final = re.compile(r"`[^`\n]*`|https?://\S+|\"nobody\"|\.tell\(\)")
_PATTERNS: Final = [(re.compile(pattern, re.IGNORECASE), term) for pattern, term in TERMS.items()]


class Violation(NamedTuple):
    """A word that the project does not use."""

    line: int
    """From 1."""
    word: str
    term: str
    """What to write instead."""


def violations(text: str) -> Iterator[Violation]:
    """The words of a file's text that the project does not use."""
    for number, line in enumerate(text.splitlines(), 1):
        unquoted = _QUOTED.sub("``", line)
        for pattern, term in _PATTERNS:
            for found in pattern.finditer(unquoted):
                yield Violation(number, found[0], term)


def files(paths: list[Path], checkout: Path = CHECKOUT) -> Iterator[Path]:
    """The files to read among some files and folders.

    Args:
        paths: files or folders of the checkout.
        checkout: the folder that patterns of paths are relative to.
    """
    for path in paths:
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith(".") or name in HIDDEN_FOLDERS)
            for name in sorted(names):
                file = Path(folder, name)
                within = file.resolve().relative_to(checkout.resolve()).as_posix()
                if file.suffix in SUFFIXES and not name.startswith(".") and not NOT_READ.search(within):
                    yield file


def main() -> int:
    """Print each violation with its place; 1 if there is any, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[CHECKOUT], help="default: the whole checkout")
    count = 0
    for file in files(parser.parse_args().paths):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for line, word, term in violations(text):
            shown = file.relative_to(CHECKOUT) if file.is_relative_to(CHECKOUT) else file
            sys.stdout.write(f"{shown}:{line}: {word!r}: write {term}\n")
            count += 1
    if count:
        sys.stdout.write(f"terms to replace: {count}; see deploy/docs/contributing.md#terms\n")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
