"""Applying custom resource definitions to a server that has just started."""

from __future__ import annotations

import pytest

from orderfleet_local.stack import apiserver
from orderfleet_local.stack.errors import PartFailed


def kubectl(folder, waits):
    """Return a kubectl whose `wait` fails N times, as the real one does while a definition has no conditions."""
    program = folder / "kubectl"
    program.write_text(
        f"""#!/bin/sh
case "$*" in
*wait*)
    echo x >> {folder}/waits
    [ $(wc -l < {folder}/waits) -gt {waits} ] || {{ echo ".status.conditions accessor error" >&2; exit 1; }};;
esac
"""
    )
    program.chmod(0o755)
    return program


def test_definition_without_conditions_is_waited_for(tmp_path):
    apiserver.apply_definitions(kubectl(tmp_path, waits=2), tmp_path / "kubeconfig", tmp_path)
    assert (tmp_path / "waits").read_text().count("x") == 3


def test_definition_that_is_never_served_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(apiserver, "_ESTABLISHED_SECONDS", 0)
    with pytest.raises(PartFailed, match="accessor error"):
        apiserver.apply_definitions(kubectl(tmp_path, waits=10_000), tmp_path / "kubeconfig", tmp_path)
