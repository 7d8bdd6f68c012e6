"""What lands is tested on a cluster where one can be had: a failed test stops it, a missing cluster doesn't."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orderfleet.stack import paths

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
exit {test}
"""


@pytest.fixture
def run(tmp_path: Path):
    calls, program = tmp_path / "calls", tmp_path / "cluster"

    def land(*, up: int, test: int) -> tuple[int, str, list[str]]:
        for path, text in ((program, _PROGRAM), (tmp_path / "make", _MAKE)):
            path.write_text(text.format(calls=calls, up=up, test=test))
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
    code, _, calls = run(up=0, test=0)
    options = f"--kubeconfig /made/admin.conf --disposable --cluster-program {tmp_path}/cluster"
    assert code == 0
    assert calls == [
        "cluster down",
        "cluster up",
        "cluster env",
        f"make test-cluster CLUSTER={options}",
        "cluster down",
    ]


def test_a_test_that_fails_stops_the_change(run):
    code, _, calls = run(up=0, test=2)
    assert code == 2
    assert calls[-1] == "cluster down"


def test_a_cluster_that_cannot_be_brought_up_is_told_of_loudly(run):
    code, said, calls = run(up=1, test=0)
    assert code == 0
    assert "NOT TESTED ON A CLUSTER" in said
    assert calls == ["cluster down", "cluster up", "cluster down"]
