"""What the README tells people to type works, in the order it tells it, on a stack of the test's own."""

from __future__ import annotations

import subprocess

import pytest
from readme import NOT_RUN, RUN, blocks, commands
from stacks import CHECKOUT, stack_environment

README = CHECKOUT / "README.md"
SHELL_BLOCKS = [block for block in blocks(README) if block.info.startswith("sh")]


def test_every_command_is_run_or_listed_as_not_run():
    others = [command for block in SHELL_BLOCKS if block.info != RUN for command in commands(block)]
    assert sorted(others) == sorted(NOT_RUN)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_readme_from_top_to_bottom():
    script = "\n".join(
        f"echo '=== README.md:{block.line}'\n{block.text}" for block in SHELL_BLOCKS if block.info == RUN
    )
    with stack_environment() as environment:
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
    told = f"{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, told
    assert "The Order says shipped" in result.stdout, told
    assert "shipped SIM" in result.stdout, told
    assert '"workflow_id":"order-ord-' in result.stdout, told
    assert "stopped " in result.stdout, told
