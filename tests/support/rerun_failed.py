"""Runs a suite, and those of its tests that failed once more, alone: `make test-all` calls it.

A test that passes then is told as flaky, with what it said first: it is to be mended, and doesn't hold up
a change that has nothing to do with it (deploy/docs/testing.md). `make test` and the chaos runs never look twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

MOST: Final = 3
"""Failed tests that get a second look; more of them are no accident."""
FAILED: Final = 1
"""pytest's exit status when tests failed; others mean that it could not run them."""

Run = Callable[[Sequence[str]], int]


def look(command: Sequence[str], run: Run, say: Callable[[str], None]) -> int:
    """Run `command`, a pytest with arguments; its exit status, or that of the second look."""
    with tempfile.TemporaryDirectory() as cache:
        suite = [*command, "-o", f"cache_dir={cache}"]
        status = run(suite)
        failed = _failed(Path(cache))
        if status != FAILED or not failed:
            return status
        if len(failed) > MOST:
            say(f"second look: {len(failed)} tests failed, more than {MOST}: none is run again")
            return status
        say(f"second look: {', '.join(failed)}: once more, alone")
        again = run([*suite, "-n", "0", "--last-failed"])
    for test in failed if again == 0 else ():
        say(f"FLAKY: {test} failed, and passed alone; why it failed first stands above")
    return again


def _failed(cache: Path) -> list[str]:
    found = cache / "v" / "cache" / "lastfailed"
    return list(json.loads(found.read_text())) if found.exists() else []


if __name__ == "__main__":
    sys.exit(look(sys.argv[1:], lambda command: subprocess.run(command, check=False).returncode, print))
