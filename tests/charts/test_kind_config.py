"""kind's own program reads kind-config.yaml and calls a stub of docker that records its calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths

CONFIG = paths.checkout() / "kind-config.yaml"
_DOCKER = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$(dirname "$0")/calls"
case "$*" in
  -v) echo 'Docker version 28.0.0, build 0' ;;
  info*'{{json .}}') echo '{INFO}' ;;
  'network ls'*) echo 0123456789ab ;;
  run*) exit 1 ;;
esac
"""
# A machine with every feature, so that kind continues to the node.
_INFO = {"CgroupVersion": "2", "MemoryLimit": True, "PidsLimit": True, "CPUShares": True}


@dataclass(frozen=True)
class KindRun:
    """kind's error output and its calls of docker."""

    stderr: str
    docker_calls: str


@pytest.fixture(scope="module")
def kind() -> Path:
    return provide(["kind"])["kind"]


@pytest.fixture
def create(kind, tmp_path):
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER.replace("{INFO}", json.dumps(_INFO)))
    docker.chmod(0o755)

    def run(text: str) -> KindRun:
        config = tmp_path / "config.yaml"
        config.write_text(text)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KIND_")},
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
        }
        result = subprocess.run(
            [kind, "create", "cluster", "--config", config],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.returncode != 0, "this docker runs no node"
        calls = tmp_path / "calls"
        return KindRun(result.stderr, calls.read_text() if calls.exists() else "")

    return run


def test_kind_accepts_the_configuration_and_publishes_its_ports(create):
    run = create(CONFIG.read_text())
    (node,) = [line for line in run.docker_calls.splitlines() if line.startswith("run ")]
    config = yaml.safe_load(CONFIG.read_text())
    assert f"--label io.x-k8s.kind.cluster={config['name']} " in node
    published = set(re.findall(r"--publish=(\S+)/TCP", node))
    configured = {
        f"{port['listenAddress']}:{port['hostPort']}:{port['containerPort']}"
        for port in config["nodes"][0]["extraPortMappings"]
    }
    # One more port is that of the API server.
    assert {port for port in published if not port.endswith(":6443")} == configured


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("hostPort", "hostport", "field hostport not found"),
        ("nodes:", "node:", "field node not found"),
        ("v1alpha4", "v1alpha5", "unknown apiVersion"),
        ("role: control-plane", "role: control", "not a valid node role"),
        ("hostPort: 8000", "hostPort: 80000", "invalid"),
    ],
)
def test_mistake_in_the_configuration_is_reported(create, right, wrong, message):
    text = CONFIG.read_text()
    assert right in text
    run = create(text.replace(right, wrong))
    assert message in run.stderr
    assert "\nrun " not in run.docker_calls
