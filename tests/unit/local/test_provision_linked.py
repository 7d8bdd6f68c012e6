"""A program is held against the Go modules that it is linked with, and one with a fault is the last choice."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from orderfleet_local.provision import cache as linked
from orderfleet_local.provision import cache as on_path
from orderfleet_local.provision.catalog import SQLITE_DRIVER, TOOLS, LinkedModule, OnPath
from orderfleet_local.provision.progress import StrategyFailed
from orderfleet_local.stack import paths

SQLITE = "modernc.org/sqlite"
# As Go's linker writes it, in the middle of a program.
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
    assert linked.linked_version(program, SQLITE) == version


def test_linked_version_of_an_empty_file_is_none(tmp_path):
    (tmp_path / "program").touch()
    assert linked.linked_version(tmp_path / "program", SQLITE) is None


def test_pinned_temporal_has_the_driver_that_the_catalog_asks_for():
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
    release_host.put("pretend-tool", _program(_OLD).encode())
    return replace(
        release_host.tool(on_path=OnPath(("--version",), (1, 2), (2,))),
        linked=LinkedModule(SQLITE, (1, 51, 0), "it stops answering"),
    )


def _go(program_on_path, dependency: str) -> None:
    build = 'while [ "$1" != -o ]; do shift; done; printf "\\n%s\\n" "$LINE" > "$2"'
    line = dependency.replace("\t", "'$(printf '\\t')'")
    program_on_path("go", f"LINE='{line}'; {build}")


@pytest.mark.parametrize(
    ("dependency", "shown"), [(_OLD, r"sqlite v1\.34\.1"), ("", "a version that it does not show")]
)
def test_program_on_path_with_the_fault_is_refused_with_the_reason(tool, program_on_path, tmp_path, dependency, shown):
    program_on_path("pretend-tool", _program(dependency))
    with pytest.raises(StrategyFailed, match=rf"{shown}, wanted v1\.51\.0 or newer: it stops answering"):
        on_path.find(tool, tmp_path)


def test_program_on_path_without_the_fault_is_taken(tool, program_on_path, tmp_path):
    path = program_on_path("pretend-tool", _program(_NEW))
    assert on_path.find(tool, tmp_path) == path


def test_build_is_preferred_to_a_release_and_to_a_program_on_path_with_the_fault(ladder, tool, program_on_path):
    program_on_path("pretend-tool", _program(_OLD))
    _go(program_on_path, _NEW)
    served = ladder.provide([tool])["pretend-tool"]
    assert served.rung == "built by Go"
    assert linked.linked_version(served.path, SQLITE) == (1, 51, 0)
    again = ladder.provide([tool])["pretend-tool"]
    assert (again.rung, again.path) == ("cache", served.path)
    assert "sqlite v1.34.1" in again.note


def test_build_with_the_fault_is_not_published(ladder, tool, program_on_path, cache, said):
    _go(program_on_path, _OLD)
    ladder.provide([tool])
    assert cache.find(tool) is None
    assert "the build isn't taken: it is linked with modernc.org/sqlite v1.34.1" in said.getvalue()


def test_release_with_the_fault_is_used_and_said_where_nothing_can_be_built(ladder, tool, program_on_path, cache, said):
    served = ladder.provide([tool])["pretend-tool"]
    assert served.rung.startswith("official release from 127.0.0.1")
    assert "although it is linked with modernc.org/sqlite v1.34.1" in said.getvalue()
    assert "it stops answering" in said.getvalue()
    assert cache.find(tool) is None
    # It isn't fetched twice, and a build replaces it as soon as there can be one.
    assert ladder.provide([tool])["pretend-tool"].rung.startswith("cache, ")
    _go(program_on_path, _NEW)
    assert ladder.provide([tool])["pretend-tool"].rung == "built by Go"


def test_program_on_path_with_the_fault_is_used_and_said_where_nothing_can_be_built(
    ladder, tool, program_on_path, said
):
    path = program_on_path("pretend-tool", _program(_OLD))
    served = ladder.provide([tool])["pretend-tool"]
    assert served.path == path
    assert f"PATH, {path}, although it is linked with modernc.org/sqlite v1.34.1" in said.getvalue()
