"""Which tests `make test-all` reruns, with real runs of pytest on small suites."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.rerun_failed import MAX_RERUN, run_suite


@pytest.fixture
def suite(tmp_path):
    """Return a function that runs a suite of the given text, and returns its exit status and the reports."""

    def run_on(text):
        (tmp_path / "test_suite.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        reports = []
        # pytest starts faster without other plugins.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist"]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

        def run(arguments):
            return subprocess.run(arguments, cwd=tmp_path, env=environment, check=False, capture_output=True).returncode

        return run_suite(command, run, reports.append), reports

    return run_on


def test_suite_that_passes_is_run_once(suite):
    assert suite("def test_x(): pass") == (0, [])


def test_failed_test_that_passes_alone_is_reported_as_flaky(suite):
    text = "import os\ndef test_x(): assert os.path.exists('was') or open('was', 'w').close()\n"
    status, reports = suite(text)
    assert status == 0
    assert any(line.startswith("FLAKY: test_suite.py::test_x failed") for line in reports)


def test_failed_test_that_fails_again_fails_the_suite(suite):
    status, reports = suite("def test_x(): assert False\ndef test_y(): pass")
    assert status == 1
    assert not any(line.startswith("FLAKY") for line in reports)


def test_many_failures_are_not_rerun(suite):
    status, reports = suite("\n".join(f"def test_{number}(): assert False" for number in range(MAX_RERUN + 1)))
    assert status == 1
    assert reports == [f"rerun: {MAX_RERUN + 1} tests failed, more than {MAX_RERUN}: none is rerun"]


def test_suite_that_cannot_be_imported_is_not_rerun(suite):
    status, reports = suite("import nothing_of_this_name")
    assert status != 0
    assert not any(line.startswith("FLAKY") for line in reports)
