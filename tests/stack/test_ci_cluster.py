"""What lands is tested on a cluster where one can be had: a failed test stops it, a missing cluster doesn't."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orderfleet_local.stack import paths

_PROGRAM = """\
#!/bin/sh
echo "cluster $*" >> "{calls}"
case $1 in
  up) exit {up} ;;
  env) echo 'export KUBECONFIG=/made/admin.conf PATH=/made/bin:$PATH' ;;
esac
"""
_MAKE = """\
#!/bin/sh
echo "make $*" >> "{calls}"
[ $(grep -c ^make "{calls}") -gt {failures} ] || exit 2
"""


@pytest.fixture
def run(tmp_path: Path):
    calls, program = tmp_path / "calls", tmp_path / "cluster"

    def land(*, up: int, failures: int) -> tuple[int, str, list[str]]:
        for path, text in ((program, _PROGRAM), (tmp_path / "make", _MAKE)):
            path.write_text(text.format(calls=calls, up=up, failures=failures))
            path.chmod(0o755)
        result = subprocess.run(
            [paths.checkout() / ".ci" / "cluster", program],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return result.returncode, result.stderr, calls.read_text().splitlines()

    return land


def test_a_cluster_is_made_tested_on_and_taken_away(run, tmp_path):
    code, _, calls = run(up=0, failures=0)
    options = f"--kubeconfig /made/admin.conf --disposable --cluster-program {tmp_path}/cluster"
    assert code == 0
    assert calls == [
        "cluster down",
        "cluster up",
        "cluster env",
        f"make test-cluster CLUSTER={options}",
        "cluster down",
    ]


def test_a_test_that_fails_twice_stops_the_change(run):
    code, _, calls = run(up=0, failures=2)
    assert code == 2
    assert [call.split()[1] for call in calls] == [*("down", "up", "env", "test-cluster") * 2, "down"]


def test_a_test_that_passes_on_another_cluster_is_told_as_flaky(run):
    code, said, _ = run(up=0, failures=1)
    assert code == 0
    assert "FLAKY" in said


def test_a_cluster_that_cannot_be_brought_up_is_told_of_loudly(run):
    code, said, calls = run(up=1, failures=0)
    assert code == 0
    assert "NOT TESTED ON A CLUSTER" in said
    assert calls == ["cluster down", "cluster up", "cluster down"]
