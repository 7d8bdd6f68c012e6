"""Definitions of other products from their own Go modules, which `deploy/tools/definitions` pins.

The dry run on an API server needs the definitions of resources, the test of KEDA that of its trigger. Go checks
downloads against the pinned checksums.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from orderfleet_local.stack import paths

_PINS = paths.tool_pins() / "definitions"
_KEDA = "github.com/kedacore/keda/v2"
_FILES = {
    "sigs.k8s.io/gateway-api": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    _KEDA: ["config/crd/bases/keda.sh_scaledobjects.yaml"],
    "github.com/prometheus-operator/prometheus-operator": [
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
        for kind in ("podmonitors", "prometheusrules")
    ],
}


def files() -> list[Path]:
    """The definitions of every kind in the product's chart that is not part of Kubernetes."""
    return [_folders()[module] / file for module, names in _FILES.items() for file in names]


def trigger_parameters() -> dict[str, dict[str, Any]]:
    """The parameters of KEDA's trigger for Temporal, from KEDA's own description."""
    described = json.loads((_folders()[_KEDA] / "schema/generated/scalers-schema.json").read_text())
    (temporal,) = [each for each in described["scalers"] if each["type"] == "temporal"]
    return {each["name"]: each for each in temporal["parameters"]}


@cache
def _folders() -> dict[str, Path]:
    """The folder of each module in Go's cache."""
    assert shutil.which("go"), "the definitions come out of Go modules: install Go"
    pinned = dict(re.findall(r"^\t(\S+) (v\S+)$", (_PINS / "go.mod").read_text(), re.MULTILINE))
    assert set(pinned) == set(_FILES)
    result = subprocess.run(
        ["go", "mod", "download", "-json", *(f"{module}@{version}" for module, version in pinned.items())],
        cwd=_PINS,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    answers = [json.loads(text) for text in re.findall(r"^\{.*?^\}", result.stdout, re.MULTILINE | re.DOTALL)]
    return {answer["Path"]: Path(answer["Dir"]) for answer in answers}
