"""Runs a test suite, and reruns its failed tests once, alone.

A test that passes then is reported as flaky, and doesn't block an unrelated change (deploy/docs/testing.md).
`make test` and the chaos tests are never rerun.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

MAX_RERUN: Final = 3
"""Failed tests that are rerun; more failures are not flaky."""
FAILED: Final = 1
"""pytest's exit status when tests failed; others mean that it could not run them."""

Run = Callable[[Sequence[str]], int]


def run_suite(command: Sequence[str], run: Run, report: Callable[[str], None]) -> int:
    """Run a suite.

    Args:
        command: pytest with its arguments.
        run: runs a command and returns its exit status.
        report: gets a line for each rerun and each flaky test.

    Returns:
        The exit status of the suite, or of the rerun if there was one.
    """
    with tempfile.TemporaryDirectory() as cache:
        suite = [*command, "-o", f"cache_dir={cache}"]
        status = run(suite)
        failed = _failed(Path(cache))
        if status != FAILED or not failed:
            return status
        if len(failed) > MAX_RERUN:
            report(f"rerun: {len(failed)} tests failed, more than {MAX_RERUN}: none is rerun")
            return status
        report(f"rerun: {', '.join(failed)}: once, alone")
        again = run([*suite, "-n", "0", "--last-failed"])
    for test in failed if again == 0 else ():
        report(f"FLAKY: {test} failed, and passed alone; its first failure is above")
    return again


def _failed(cache: Path) -> list[str]:
    found = cache / "v" / "cache" / "lastfailed"
    return list(json.loads(found.read_text())) if found.exists() else []


if __name__ == "__main__":
    sys.exit(run_suite(sys.argv[1:], lambda command: subprocess.run(command, check=False).returncode, print))
