"""Builds: killed, concurrent, failing, impossible."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.catalog import GoBuild, MavenFetch, Tool
from orderfleet_local.provision.progress import Progress, ProvisionError
from orderfleet_local.provision.release import Network
from orderfleet_local.provision.resolver import Resolver
from support.polling import eventually_sync

TOOL = Tool("fake-tool", "1.2.3", GoBuild("fake", "example.test/fake"))

# Finds the file after `-o`, as Go does, and records that it ran.
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
tool = Tool("fake-tool", "1.2.3", GoBuild("fake", "example.test/fake"))
Resolver(Cache(Path(sys.argv[1])), Network(), Builder(Path(sys.argv[2])), Progress()).provide([tool])
"""


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def fake_go(program_on_path, ran):
    def put(script: str) -> None:
        program_on_path("go", _GO.format(ran=ran) + script)

    return put


def _run(cache, pins) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(cache.folder), str(pins)], stderr=subprocess.PIPE, text=True
    )


def test_build_is_published(resolver, fake_go, output):
    fake_go('echo built > "$2"')
    provided = resolver.provide([TOOL])["fake-tool"]
    assert provided.source == "built by Go"
    assert provided.path.read_text() == "built\n"
    assert "fake-tool 1.2.3: not on PATH" in output.getvalue()
    assert "fake-tool 1.2.3: built by Go" in output.getvalue()


def test_build_has_the_tags_and_linker_flags_of_its_recipe(resolver, program_on_path):
    program_on_path("go", 'given="$*"; while [ "$1" != -o ]; do shift; done; echo "$given" > "$2"')
    recipe = GoBuild("fake", "example.test/fake", "-s", tags="some,others")
    command = resolver.provide([Tool("fake-tool", "1.2.3", recipe)])["fake-tool"].path.read_text()
    assert command.startswith("build -ldflags -s -tags some,others ")
    assert command.endswith(" example.test/fake\n")


def test_killed_build_publishes_nothing(resolver, cache, pins, fake_go, ran):
    fake_go('echo half > "$2"; exec sleep 60')
    with _run(cache, pins) as run:
        eventually_sync(lambda: list(cache.folder.glob("fake-tool/.making-*/fake-tool")))
        builds = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
    assert cache.find(TOOL) is None
    gone, _ = psutil.wait_procs(builds, timeout=30)
    assert len(gone) == len(builds) == 1
    fake_go('echo whole > "$2"')
    assert resolver.provide([TOOL])["fake-tool"].path.read_text() == "whole\n"
    assert not list(cache.folder.glob("fake-tool/.making-*"))


def test_two_concurrent_runs_build_once(cache, pins, fake_go, ran):
    fake_go('sleep 1; echo built > "$2"')
    with _run(cache, pins) as one, _run(cache, pins) as two:
        assert {one.communicate(timeout=60) and one.returncode, two.communicate(timeout=60) and two.returncode} == {0}
    assert ran.read_text().count("ran") == 1


def test_failed_build_reports_the_error(resolver, cache, fake_go):
    fake_go("echo cannot find module example.test >&2; exit 1")
    with pytest.raises(ProvisionError, match=r"go failed:\n +cannot find module example.test"):
        resolver.provide([TOOL])
    assert cache.find(TOOL) is None


def test_build_without_build_tools_says_what_to_install(cache, pins, monkeypatch, tmp_path, output):
    monkeypatch.setenv("PATH", str(tmp_path))
    jars = Tool("fake-server", "1", MavenFetch("fake", "Main"))
    with pytest.raises(ProvisionError) as error:
        Resolver(cache, Network(), Builder(pins), Progress(output)).provide([TOOL, jars])
    assert "install Go 1.26 or newer" in str(error.value)
    assert "install Java 17 and Maven" in str(error.value)


def test_failed_build_does_not_stop_the_others(resolver, cache, fake_go):
    fake_go('case "$3" in *broken) exit 1;; esac; echo built > "$2"')
    broken = Tool("broken", "1", GoBuild("fake", "example.test/broken"))
    with pytest.raises(ProvisionError, match=r"^broken 1 can't be provided"):
        resolver.provide([broken, TOOL])
    assert cache.find(TOOL) is not None


def test_builds_run_two_at_a_time(resolver, pins, fake_go, tmp_path):
    now = tmp_path / "now"
    now.mkdir()
    count = f"touch {now}/$$; ls {now} | wc -l >> {tmp_path}/counts"
    fake_go(f'{count}; sleep 0.5; rm {now}/$$; echo built > "$2"')
    tools = [Tool(f"tool-{n}", "1", GoBuild(f"module-{n}", "p")) for n in range(5)]
    for tool in tools:
        (pins / tool.recipe.module).mkdir()
    resolver.provide(tools)
    assert max(map(int, (tmp_path / "counts").read_text().split())) == 2


def test_long_build_shows_a_heartbeat(cache, pins, fake_go, output):
    fake_go('sleep 1; echo built > "$2"')
    Resolver(cache, Network(), Builder(pins), Progress(output, every=0.2)).provide([TOOL])
    assert "still building fake-tool … " in output.getvalue()
