"""The commands of the README and of the pages that continue it work, in their order, on one local stack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.documents import NOT_RUN, RUN, Block, blocks, commands
from support.stack_folders import CHECKOUT, stack_environment

README = CHECKOUT / "README.md"
RUNBOOKS = "runbooks"
"""Folder of documents whose commands `tests/observability/test_runbooks.py` runs."""


def shell_blocks(document: Path) -> list[Block]:
    return [block for block in blocks(document) if block.info.startswith("sh")]


def run_blocks(document: Path) -> list[tuple[Path, Block]]:
    return [(document, block) for block in shell_blocks(document) if block.info == RUN]


DOCS = sorted(path for path in (CHECKOUT / "deploy" / "docs").rglob("*.md") if path.parent.name != RUNBOOKS)
PAGES = [page for page in DOCS if run_blocks(page)]


def test_pages_with_commands_to_run_include_both_tours():
    assert {"command-line.md", "http-api.md"} <= {page.name for page in PAGES}


def test_command_of_a_page_is_run_or_listed_as_not_run():
    others = [
        command
        for page in (README, *PAGES)
        for block in shell_blocks(page)
        if block.info != RUN
        for command in commands(block)
    ]
    assert sorted(others) == sorted(NOT_RUN)


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_documented_commands_in_their_order_succeed():
    # The README's last block stops the stack, so the other pages run before it.
    *started, stopped = run_blocks(README)
    pages = [found for page in PAGES for found in run_blocks(page)]
    script = "\n".join(
        f"echo '=== {document.name}:{block.line}'\n{block.text}" for document, block in (*started, *pages, stopped)
    )
    with stack_environment() as environment:
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=340,
            check=False,
        )
    output = f"{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, output
    assert "The Order is shipped" in result.stdout, output
    assert "shipped SIM" in result.stdout, output
    assert '"workflow_id":"order-web-1"' in result.stdout, output
    assert "stopped " in result.stdout, output
