"""`find_on_path` accepts a program by its version, and says why it does not."""

from __future__ import annotations

import pytest

from orderfleet_local.provision.cache import find_on_path
from orderfleet_local.provision.catalog import TOOLS, GoBuild, OnPath, Tool
from orderfleet_local.provision.progress import StrategyFailed

TOOL = Tool("fake-tool", "1.2.3", GoBuild("fake", "p"), OnPath(("--version",), (1, 2), (2,)))


def test_acceptable_version_is_found(program_on_path, tmp_path):
    path = program_on_path("fake-tool", "echo fake-tool version v1.2.9")
    assert find_on_path(TOOL, tmp_path) == path


@pytest.mark.parametrize("version", ["1.1.99", "2.0.0"])
def test_other_version_is_rejected_with_the_reason(program_on_path, tmp_path, version):
    program_on_path("fake-tool", f"echo {version}")
    with pytest.raises(StrategyFailed, match=rf"is {version}, wanted 1.2 or newer, older than 2"):
        find_on_path(TOOL, tmp_path)


@pytest.mark.parametrize(("script", "reason"), [("exit 1", "doesn't run"), ("echo hello", "doesn't print its version")])
def test_program_without_a_version_is_rejected(program_on_path, tmp_path, script, reason):
    program_on_path("fake-tool", script)
    with pytest.raises(StrategyFailed, match=reason):
        find_on_path(TOOL, tmp_path)


def test_missing_program_is_reported(program_on_path, tmp_path):
    with pytest.raises(StrategyFailed, match="not on PATH"):
        find_on_path(TOOL, tmp_path)


def test_version_is_cached_until_the_program_changes(program_on_path, tmp_path):
    calls = tmp_path / "calls"
    program_on_path("fake-tool", f"echo called >> {calls}; echo 1.2.3")
    find_on_path(TOOL, tmp_path)
    find_on_path(TOOL, tmp_path)
    assert calls.read_text().count("called") == 1
    program_on_path("fake-tool", f"echo called >> {calls}; echo version 1.1.0")
    with pytest.raises(StrategyFailed, match=r"1\.1\.0"):
        find_on_path(TOOL, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1"),
        ("kube-apiserver", "Kubernetes v1.36.3"),
        ("etcd", "etcd Version: 3.7.3\nGit SHA: abc\nGo Version: go1.26.8"),
        ("temporal", "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"),
    ],
)
def test_version_output_of_real_tools_is_parsed(program_on_path, tmp_path, name, text):
    linked = "dep\tmodernc.org/sqlite\tv1.51.0"
    path = program_on_path(name, f"cat <<'END'\n{text}\nEND\nexit\n{linked}")
    assert find_on_path(TOOLS[name], tmp_path) == path
