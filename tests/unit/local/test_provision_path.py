"""The first rung: a program on PATH is taken when its version is acceptable, and told why when not."""

from __future__ import annotations

import pytest

from orderfleet_local.provision import cache
from orderfleet_local.provision.catalog import TOOLS, GoBuild, OnPath, Tool
from orderfleet_local.provision.progress import StrategyFailed

TOOL = Tool("pretend-tool", "1.2.3", GoBuild("pretend", "p"), OnPath(("--version",), (1, 2), (2,)))


def test_acceptable_version_is_taken(program_on_path, tmp_path):
    path = program_on_path("pretend-tool", "echo pretend-tool version v1.2.9")
    assert cache.find(TOOL, tmp_path) == path


@pytest.mark.parametrize("version", ["1.1.99", "2.0.0"])
def test_other_version_is_refused_with_the_reason(program_on_path, tmp_path, version):
    program_on_path("pretend-tool", f"echo {version}")
    with pytest.raises(StrategyFailed, match=rf"is {version}, wanted 1.2 or newer, older than 2"):
        cache.find(TOOL, tmp_path)


@pytest.mark.parametrize(("script", "reason"), [("exit 1", "doesn't run"), ("echo hello", "doesn't tell its version")])
def test_program_without_a_version_is_refused(program_on_path, tmp_path, script, reason):
    program_on_path("pretend-tool", script)
    with pytest.raises(StrategyFailed, match=reason):
        cache.find(TOOL, tmp_path)


def test_program_that_isnt_there_is_said(program_on_path, tmp_path):
    with pytest.raises(StrategyFailed, match="not on PATH"):
        cache.find(TOOL, tmp_path)


def test_version_is_asked_for_once_until_the_program_changes(program_on_path, tmp_path):
    asked = tmp_path / "asked"
    program_on_path("pretend-tool", f"echo asked >> {asked}; echo 1.2.3")
    cache.find(TOOL, tmp_path)
    cache.find(TOOL, tmp_path)
    assert asked.read_text().count("asked") == 1
    program_on_path("pretend-tool", f"echo asked >> {asked}; echo version 1.1.0")
    with pytest.raises(StrategyFailed, match=r"1\.1\.0"):
        cache.find(TOOL, tmp_path)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1"),
        ("kube-apiserver", "Kubernetes v1.36.3"),
        ("etcd", "etcd Version: 3.7.3\nGit SHA: abc\nGo Version: go1.26.8"),
        ("temporal", "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"),
    ],
)
def test_real_answers_are_understood(program_on_path, tmp_path, name, answer):
    linked = "dep\tmodernc.org/sqlite\tv1.51.0"
    path = program_on_path(name, f"cat <<'END'\n{answer}\nEND\nexit\n{linked}")
    assert cache.find(TOOLS[name], tmp_path) == path
