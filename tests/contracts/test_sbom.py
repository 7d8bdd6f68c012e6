"""The bill of materials lists exactly the locked packages and versions."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from orderfleet_local.stack import paths


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bill_of_materials_lists_exactly_the_locked_packages():
    folder = paths.checkout()
    subprocess.run(["make", "--no-print-directory", "sbom"], cwd=folder, check=True, timeout=500)
    listed = json.loads((folder / "dist" / "orderfleet.cdx.json").read_text())
    locked = dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;\\]+)", (folder / "requirements.lock").read_text()))
    assert {each["name"]: each["version"] for each in listed["components"]} == locked
    assert all(each["externalReferences"][0]["hashes"] for each in listed["components"])
    assert listed["metadata"]["component"]["name"] == "orderfleet"
