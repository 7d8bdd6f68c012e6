"""The commands on the page on upgrades exist; `test_two_builds.py` and `test_rollback.py` run them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths

PAGE = paths.checkout() / "deploy" / "docs" / "upgrades.md"


def commands() -> list[list[str]]:
    """The arguments of every call of Temporal's command line."""
    text = re.sub(r"^ +", "", PAGE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("temporal ")]


def test_every_command_and_option_of_the_page_exists() -> None:
    program = provide(["temporal"])["temporal"]
    assert len(commands()) > 5
    for _, *arguments in commands():
        called = [each for each in arguments[:3] if re.fullmatch(r"[a-z]+(-[a-z]+)*", each)]
        help_text = _help(program, called)
        for option in (each for each in arguments if each.startswith("--")):
            assert re.search(rf"{option}\b", help_text), f"temporal {' '.join(called)} has no {option}"


def _help(program: Path, command: list[str]) -> str:
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert f"temporal {' '.join(command)} [" in done.stdout, f"there is no temporal {' '.join(command)}"
    return done.stdout
