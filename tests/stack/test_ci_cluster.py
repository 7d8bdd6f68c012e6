"""`.ci/cluster`: a change is tested on a cluster if one is available; a failed test rejects it."""

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

    def run_script(*, up: int, failures: int, left: str = "4200") -> tuple[int, str, list[str]]:
        for path, text in ((program, _PROGRAM), (tmp_path / "make", _MAKE)):
            path.write_text(text.format(calls=calls, up=up, failures=failures))
            path.chmod(0o755)
        result = subprocess.run(
            [paths.checkout() / ".ci" / "cluster", program, left],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return result.returncode, result.stderr, calls.read_text().splitlines()

    return run_script


def test_cluster_is_created_used_and_deleted(run, tmp_path):
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


def test_failure_on_two_clusters_fails(run):
    code, _, calls = run(up=0, failures=2)
    assert code == 2
    assert [call.split()[1] for call in calls] == [*("down", "up", "env", "test-cluster") * 2, "down"]


def test_success_on_the_second_cluster_reports_flaky(run):
    code, output, _ = run(up=0, failures=1)
    assert code == 0
    assert "FLAKY" in output


def test_cluster_that_does_not_start_is_reported(run):
    code, output, calls = run(up=1, failures=0)
    assert code == 0
    assert "NOT TESTED ON A CLUSTER" in output
    assert calls == ["cluster down", "cluster up", "cluster down"]


def test_cluster_without_time_to_create_it_is_reported(run):
    code, output, calls = run(up=0, failures=0, left="1500")
    assert code == 0
    assert "NOT TESTED ON A CLUSTER" in output
    assert calls == ["cluster down", "cluster down"]
