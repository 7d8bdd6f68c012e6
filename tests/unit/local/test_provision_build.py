"""The last rung: builds that are killed, that meet, that fail, that can't be done."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.catalog import GoBuild, MavenFetch, Tool
from orderfleet_local.provision.progress import Progress, ProvisionError
from orderfleet_local.provision.release import Network
from orderfleet_local.provision.resolver import Resolver

TOOL = Tool("pretend-tool", "1.2.3", GoBuild("pretend", "example.test/pretend"))

# Finds the file after `-o`, as Go does, and notes that it ran.
_GO = 'while [ "$1" != -o ]; do shift; done; echo ran >> {ran}\n'

_RUN = """
import sys
from pathlib import Path
from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.cache import Cache
from orderfleet_local.provision.catalog import *
from orderfleet_local.provision.resolver import Resolver
from orderfleet_local.provision.release import Network
from orderfleet_local.provision.progress import Progress
tool = Tool("pretend-tool", "1.2.3", GoBuild("pretend", "example.test/pretend"))
Resolver(Cache(Path(sys.argv[1])), Network(), Builder(Path(sys.argv[2])), Progress()).provide([tool])
"""


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def fake_go(program_on_path, ran):
    def put(then: str) -> None:
        program_on_path("go", _GO.format(ran=ran) + then)

    return put


def _run(cache, pins) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(cache.folder), str(pins)], stderr=subprocess.PIPE, text=True
    )


def _wait(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_built_tool_is_published(ladder, fake_go, said):
    fake_go('echo built > "$2"')
    served = ladder.provide([TOOL])["pretend-tool"]
    assert served.rung == "built by Go"
    assert served.path.read_text() == "built\n"
    assert "pretend-tool 1.2.3: not on PATH" in said.getvalue()
    assert "pretend-tool 1.2.3: built by Go" in said.getvalue()


def test_killed_build_leaves_nothing_broken(ladder, cache, pins, fake_go, ran):
    fake_go('echo half > "$2"; exec sleep 60')
    with _run(cache, pins) as run:
        _wait(lambda: list(cache.folder.glob("pretend-tool/.making-*/pretend-tool")))
        builds = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
    assert cache.find(TOOL) is None
    gone, _ = psutil.wait_procs(builds, timeout=30)
    assert len(gone) == len(builds) == 1
    fake_go('echo whole > "$2"')
    assert ladder.provide([TOOL])["pretend-tool"].path.read_text() == "whole\n"
    assert not list(cache.folder.glob("pretend-tool/.making-*"))


def test_two_runs_build_once(cache, pins, fake_go, ran):
    fake_go('sleep 1; echo built > "$2"')
    with _run(cache, pins) as one, _run(cache, pins) as two:
        assert {one.communicate(timeout=60) and one.returncode, two.communicate(timeout=60) and two.returncode} == {0}
    assert ran.read_text().count("ran") == 1


def test_failed_build_shows_why(ladder, cache, fake_go):
    fake_go("echo cannot find module example.test >&2; exit 1")
    with pytest.raises(ProvisionError, match=r"go failed:\n +cannot find module example.test"):
        ladder.provide([TOOL])
    assert cache.find(TOOL) is None


def test_nothing_to_build_with_says_what_to_install(cache, pins, monkeypatch, tmp_path, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    jars = Tool("pretend-server", "1", MavenFetch("pretend", "Main"))
    with pytest.raises(ProvisionError) as error:
        Resolver(cache, Network(), Builder(pins), Progress(said)).provide([TOOL, jars])
    assert "install Go 1.26 or newer" in str(error.value)
    assert "install Java 17 and Maven" in str(error.value)


def test_one_missing_tool_doesnt_keep_the_others(ladder, cache, fake_go):
    fake_go('case "$3" in *broken) exit 1;; esac; echo built > "$2"')
    broken = Tool("broken", "1", GoBuild("pretend", "example.test/broken"))
    with pytest.raises(ProvisionError, match=r"^broken 1 can't be provided"):
        ladder.provide([broken, TOOL])
    assert cache.find(TOOL) is not None


def test_builds_run_two_at_a_time(ladder, pins, fake_go, tmp_path):
    now = tmp_path / "now"
    now.mkdir()
    seen = f"touch {now}/$$; ls {now} | wc -l >> {tmp_path}/seen"
    fake_go(f'{seen}; sleep 0.5; rm {now}/$$; echo built > "$2"')
    tools = [Tool(f"tool-{n}", "1", GoBuild(f"module-{n}", "p")) for n in range(5)]
    for tool in tools:
        (pins / tool.recipe.module).mkdir()
    ladder.provide(tools)
    assert max(map(int, (tmp_path / "seen").read_text().split())) == 2


def test_long_work_shows_a_heartbeat(cache, pins, fake_go, said):
    fake_go('sleep 1; echo built > "$2"')
    Resolver(cache, Network(), Builder(pins), Progress(said, every=0.2)).provide([TOOL])
    assert "still building pretend-tool … " in said.getvalue()
