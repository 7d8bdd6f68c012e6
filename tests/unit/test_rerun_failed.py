"""What gets a second look in `make test-all`, with real runs of pytest on small suites."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.rerun_failed import MOST, look


@pytest.fixture
def suite(tmp_path):
    """Looks at a suite of this text; its exit status and what was told."""

    def looked(text):
        (tmp_path / "test_suite.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        told = []
        # Without the other plugins it starts in a fraction of the time.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist"]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

        def run(arguments):
            return subprocess.run(arguments, cwd=tmp_path, env=environment, check=False, capture_output=True).returncode

        return look(command, run, told.append), told

    return looked


def test_suite_that_passes_is_run_once(suite):
    assert suite("def test_x(): pass") == (0, [])


def test_test_that_passes_alone_is_told_as_flaky(suite):
    text = "import os\ndef test_x(): assert os.path.exists('was') or open('was', 'w').close()\n"
    status, told = suite(text)
    assert status == 0
    assert any(line.startswith("FLAKY: test_suite.py::test_x failed") for line in told)


def test_test_that_fails_again_fails_the_suite(suite):
    status, told = suite("def test_x(): assert False\ndef test_y(): pass")
    assert status == 1
    assert not any(line.startswith("FLAKY") for line in told)


def test_many_failures_are_not_looked_at_again(suite):
    status, told = suite("\n".join(f"def test_{number}(): assert False" for number in range(MOST + 1)))
    assert status == 1
    assert told == [f"second look: {MOST + 1} tests failed, more than {MOST}: none is run again"]


def test_suite_that_can_not_be_read_is_not_looked_at_again(suite):
    status, told = suite("import nothing_of_this_name")
    assert status != 0
    assert not any(line.startswith("FLAKY") for line in told)
