"""The Go modules that a program is linked with: a program with a known fault is used only if nothing can be built."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from orderfleet_local.provision.cache import find_on_path, linked_version
from orderfleet_local.provision.catalog import SQLITE_DRIVER, TOOLS, LinkedModule, OnPath
from orderfleet_local.provision.progress import StrategyFailed
from orderfleet_local.stack import paths

SQLITE = "modernc.org/sqlite"
# The format of Go's linker, inside a program.
_BUILD_INFO = "exit\n\0path\texample.test/tool\nmod\texample.test/tool\tv1.2.3\th1:a=\n{}\nbuild\t-compiler=gc\n\0"
_OLD = f"dep\t{SQLITE}\tv1.34.1\th1:b="
_NEW = f"dep\t{SQLITE}\tv1.51.0\th1:b="


def _program(dependency: str) -> str:
    return "echo version 1.2.9; " + _BUILD_INFO.format(dependency)


@pytest.mark.parametrize(
    ("dependency", "version"),
    [
        (_OLD, (1, 34, 1)),
        (_NEW, (1, 51, 0)),
        (f"{_OLD}\ndep\tother.test/m\tv9.9.9", (1, 34, 1)),
        (f"dep\t{SQLITE}\tv1.34.1\n=>\texample.test/fork\tv1.60.2\th1:c=", (1, 60, 2)),
        (f"dep\t{SQLITE}-other\tv1.51.0\th1:b=", None),
        (f"dep\t{SQLITE}\t(devel)", None),
        ("", None),
    ],
)
def test_linked_version_is_read_from_the_program(tmp_path, dependency, version):
    program = tmp_path / "program"
    program.write_text(_program(dependency))
    assert linked_version(program, SQLITE) == version


def test_linked_version_of_an_empty_file_is_none(tmp_path):
    (tmp_path / "program").touch()
    assert linked_version(tmp_path / "program", SQLITE) is None


def test_pinned_temporal_has_the_driver_of_the_catalog():
    pinned = re.search(rf"\s{re.escape(SQLITE)} v(\S+)", (paths.tool_pins() / "temporal" / "go.mod").read_text())
    assert pinned is not None
    assert pinned[1] == ".".join(map(str, SQLITE_DRIVER))
    temporal = TOOLS["temporal"].linked
    assert temporal is not None
    assert (temporal.path, temporal.oldest) == (SQLITE, SQLITE_DRIVER)
    # 1.34.1 is what the official release of 1.5.1 is linked with.
    assert SQLITE_DRIVER >= (1, 51, 0)


@pytest.fixture
def tool(release_host):
    release_host.put("fake-tool", _program(_OLD).encode())
    return replace(
        release_host.tool(on_path=OnPath(("--version",), (1, 2), (2,))),
        linked=LinkedModule(SQLITE, (1, 51, 0), "it stops answering"),
    )


def _go(program_on_path, dependency: str) -> None:
    build = 'while [ "$1" != -o ]; do shift; done; printf "\\n%s\\n" "$LINE" > "$2"'
    line = dependency.replace("\t", "'$(printf '\\t')'")
    program_on_path("go", f"LINE='{line}'; {build}")


@pytest.mark.parametrize(("dependency", "shown"), [(_OLD, r"sqlite v1\.34\.1"), ("", "an unknown version")])
def test_program_on_path_with_the_fault_is_rejected_with_the_reason(tool, program_on_path, tmp_path, dependency, shown):
    program_on_path("fake-tool", _program(dependency))
    with pytest.raises(StrategyFailed, match=rf"{shown}, wanted v1\.51\.0 or newer: it stops answering"):
        find_on_path(tool, tmp_path)


def test_program_on_path_without_the_fault_is_found(tool, program_on_path, tmp_path):
    path = program_on_path("fake-tool", _program(_NEW))
    assert find_on_path(tool, tmp_path) == path


def test_build_is_preferred_to_a_release_and_to_a_program_on_path_with_the_fault(resolver, tool, program_on_path):
    program_on_path("fake-tool", _program(_OLD))
    _go(program_on_path, _NEW)
    provided = resolver.provide([tool])["fake-tool"]
    assert provided.source == "built by Go"
    assert linked_version(provided.path, SQLITE) == (1, 51, 0)
    again = resolver.provide([tool])["fake-tool"]
    assert (again.source, again.path) == ("cache", provided.path)
    assert "sqlite v1.34.1" in again.note


def test_build_with_the_fault_is_not_published(resolver, tool, program_on_path, cache, output):
    _go(program_on_path, _OLD)
    resolver.provide([tool])
    assert cache.find(tool) is None
    assert "the build is not accepted: it is linked with modernc.org/sqlite v1.34.1" in output.getvalue()


def test_release_with_the_fault_is_used_if_nothing_can_be_built(resolver, tool, program_on_path, cache, output):
    provided = resolver.provide([tool])["fake-tool"]
    assert provided.source.startswith("official release from 127.0.0.1")
    assert "although it is linked with modernc.org/sqlite v1.34.1" in output.getvalue()
    assert "it stops answering" in output.getvalue()
    assert cache.find(tool) is None
    # It is downloaded once, and replaced as soon as a build is possible.
    assert resolver.provide([tool])["fake-tool"].source.startswith("cache, ")
    _go(program_on_path, _NEW)
    assert resolver.provide([tool])["fake-tool"].source == "built by Go"


def test_program_on_path_with_the_fault_is_used_if_nothing_can_be_built(resolver, tool, program_on_path, output):
    path = program_on_path("fake-tool", _program(_OLD))
    provided = resolver.provide([tool])["fake-tool"]
    assert provided.path == path
    assert f"PATH, {path}, although it is linked with modernc.org/sqlite v1.34.1" in output.getvalue()
