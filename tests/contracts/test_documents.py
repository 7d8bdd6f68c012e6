"""Links, headings, tests, pages and decisions that the documents name exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from orderfleet_local.stack import paths

CHECKOUT = paths.checkout()
README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "deploy" / "docs"
DECISIONS = DOCS / "decisions"
DOCUMENTS = [
    README,
    CHECKOUT / "CHANGELOG.md",
    *sorted((CHECKOUT / "charts").glob("*/*.md")),
    *sorted(DOCS.rglob("*.md")),
]
README_CHARACTERS = 8000
DECISION = re.compile(r"# (\d{4}): (.+)\n\nDate: (\d{4}-\d\d-\d\d)\. Status: ([a-z]+)\b")
SECTIONS = ["Context", "Decision", "Price", "What would reverse it"]
LINES_OF_A_PAGE = 60

_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST = re.compile(r"\btests/[\w/.-]*\w")


def prose(document: Path) -> str:
    """The document without its code blocks."""
    return _FENCE.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """The fragments of the document's headings, as GitHub makes them."""
    titles = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", title).lower() for title in _HEADING.findall(prose(document)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def decisions() -> list[Path]:
    return sorted(DECISIONS.glob("0*.md"))


def test_readme_fits_its_limit():
    assert len(README.read_text()) <= README_CHARACTERS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_link_of_a_document_has_an_existing_target(document: Path):
    for link in _LINK.findall(prose(document)):
        if "://" in link:
            continue
        file, _, fragment = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_test_that_a_document_names_exists(document: Path):
    named = {name for name in _TEST.findall(document.read_text()) if "NNNN" not in name and "what-changed" not in name}
    missing = sorted(name for name in named if not (CHECKOUT / name).exists())
    assert not missing


def test_index_names_every_page():
    linked = set(_LINK.findall((DOCS / "README.md").read_text()))
    pages = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert pages <= linked
    assert {"decisions/README.md", "runbooks"} <= linked


def test_decisions_are_numbered_without_gaps_and_listed_in_their_index():
    rows = []
    for number, path in enumerate(decisions(), start=1):
        head = DECISION.match(path.read_text())
        assert head is not None, path.name
        assert (int(head[1]), path.name[:4]) == (number, head[1])
        rows.append(f"| [{head[1]}]({path.name}) | {head[2]} | {head[3]} | {head[4]} |")
    index = (DECISIONS / "README.md").read_text().splitlines()
    assert [line for line in index if line.startswith("| [")] == rows


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.stem)
def test_decision_has_its_sections_on_one_page(path: Path):
    text = path.read_text()
    assert [title for title in _HEADING.findall(prose(path)) if ":" not in title] == SECTIONS
    assert len(text.splitlines()) <= LINES_OF_A_PAGE


def test_layers_of_the_architecture_are_those_of_the_import_contract():
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    # `__main__` only starts the command line.
    sentence = " ← ".join(layer for layer in reversed(layers) if layer != "__main__")
    assert f"`{sentence}`" in (DOCS / "architecture.md").read_text()
