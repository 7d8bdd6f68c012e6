"""`.ci/run` with stubs of its commands: the order of the steps, the table of their seconds, the exit status."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SUITES = ["lint", "coverage", "slow", "observability", "chaos"]
STEP = """#!/bin/bash
[ "$FAILING" != "${{@: -1}}" ] || exit 3
case "$*" in *suites) exec {make} -s -f {makefile} suites ;; esac
"""


@pytest.fixture
def run(tmp_path):
    """Run a copy of `.ci/run`; a failing step and the availability of a cluster are chosen."""
    ci = tmp_path / "checkout" / ".ci"
    programs = tmp_path / "programs"
    cluster = tmp_path / "shared" / "cluster" / "cluster"
    for folder in (ci, programs, cluster.parent):
        folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / ".ci" / "run", ci)
    make = STEP.format(make=shutil.which("make"), makefile=CHECKOUT / "Makefile")
    stubs = {programs / "make": make, programs / "prometheus": "#!/bin/sh\n"}
    stubs |= {ci / name: f'#!/bin/sh\n[ {name} != "$FAILING" ] || exit 3\n' for name in ("audit", "cluster")}
    for path, text in stubs.items():
        path.write_text(text)
        path.chmod(0o755)

    def run(*, failing="", with_cluster=False):
        if with_cluster:
            cluster.write_text("#!/bin/sh\n")
            cluster.chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "FAILING": failing}
        done = subprocess.run([ci / "run"], env=environment, capture_output=True, text=True, check=False, timeout=60)
        head, *rows = done.stdout.strip().splitlines()
        assert head.split() == ["step", "seconds"], done.stdout + done.stderr
        assert all(re.fullmatch(r"[a-z]+ +\d+(  failed)?", row) for row in rows), rows
        return done.returncode, [row.split()[0] for row in rows], [row.split()[0] for row in rows if "failed" in row]

    return run


def test_table_has_each_step_and_the_total(run):
    assert run() == (0, [*SUITES, "audit", "demo", "down", "total"], [])


def test_table_has_the_cluster_if_one_can_be_created(run):
    assert run(with_cluster=True) == (0, [*SUITES, "audit", "cluster", "demo", "down", "total"], [])


@pytest.mark.parametrize(
    ("failing", "steps"),
    [
        ("suites", []),
        ("lint", ["lint"]),
        ("test-slow", ["lint", "coverage", "slow"]),
        ("audit", [*SUITES, "audit"]),
        ("cluster", [*SUITES, "audit", "cluster"]),
        ("demo", [*SUITES, "audit", "cluster", "demo"]),
    ],
)
def test_failed_step_ends_the_run_with_its_status_after_the_table(run, failing, steps):
    assert run(failing=failing, with_cluster=True) == (3, [*steps, "total"], steps[-1:])
