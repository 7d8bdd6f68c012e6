"""Third-party images have digests: the product's base always, those of the development chart where it is known."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charts.helm import Helm
from orderfleet_local.stack import paths

PROGRAM = paths.checkout() / "deploy" / "tools" / "images.py"
_spec = importlib.util.spec_from_file_location("images", PROGRAM)
assert _spec is not None
assert _spec.loader is not None
images = importlib.util.module_from_spec(_spec)
sys.modules["images"] = images
_spec.loader.exec_module(images)

WITHOUT_DIGEST = {"temporalio/temporal:1.5.1", "jaegertracing/jaeger:2.11.0", "otel/opentelemetry-collector:0.139.0"}
"""Images of the development chart only. Remove them from this list after `make pin-images`."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with copies of the files that name images, and of the program."""
    for file in [*images.FILES, "deploy/tools/images.py"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.checkout() / file, tmp_path / file)
    return tmp_path


def check(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "deploy/tools/images.py"), "check", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_image_except_the_listed_ones_has_a_digest():
    assert {image.reference for image in images.images() if not image.pinned} == WITHOUT_DIGEST


def test_base_of_the_product_without_a_digest_is_rejected(checkout):
    assert check(checkout).returncode == 0
    file = checkout / images.BASE
    file.write_text(re.sub(r"(?m)^(ARG BASE=[^@]+)@.*$", r"\1", file.read_text()))
    result = check(checkout)
    assert result.returncode == 1
    assert "deploy/Dockerfile: python:3.13-slim has no digest; run `make pin-images`" in result.stderr


def test_base_with_a_truncated_digest_is_rejected(checkout):
    file = checkout / images.BASE
    file.write_text(re.sub(r"(?m)^(ARG BASE=.*)...$", r"\1", file.read_text()))
    assert check(checkout).returncode == 1


def test_pin_writes_the_digest_of_each_tag_and_nothing_else(checkout):
    digest = "sha256:" + "d" * 64
    before = {file: (checkout / file).read_text() for file in images.FILES}
    images.pin(lambda _: digest, checkout)
    assert all(image.pinned for image in images.images(checkout))
    assert check(checkout, "--all").returncode == 0
    loose = re.compile(r"@sha256:[0-9a-f]{64}")
    for file, text in before.items():
        assert loose.sub("", (checkout / file).read_text()) == loose.sub("", text)
    assert images.pin(lambda _: digest, checkout) == []


def test_pin_without_a_digest_from_the_registry_changes_nothing(checkout):
    before = {file: (checkout / file).read_text() for file in images.FILES}
    with pytest.raises(ValueError, match="is no digest"):
        images.pin(lambda tagged: "" if "prometheus" in tagged else "sha256:" + "d" * 64, checkout)
    assert before == {file: (checkout / file).read_text() for file in images.FILES}


def test_dockerfile_builds_every_stage_on_the_base_or_on_a_stage_of_its_own():
    text = (paths.checkout() / images.BASE).read_text()
    stages = re.findall(r"(?m)^FROM (\S+) AS (\w+)$", text)
    assert len(stages) == text.count("\nFROM ")
    assert {origin for origin, _ in stages} <= {"${BASE}", *(name for _, name in stages)}
    copied = set(re.findall(r"--from=(\S+)", text))
    assert copied <= {name for _, name in stages}


def test_every_image_that_the_development_chart_runs_is_checked(helm: Helm):
    known = {image.reference for image in images.images()}
    for each in helm.template("orderfleet-dev"):
        if each["kind"] == "Deployment":
            for container in each["spec"]["template"]["spec"]["containers"]:
                assert container["image"] in known


def test_images_of_scripts_and_of_kind_are_checked():
    script = (paths.checkout() / "deploy/kind/up.sh").read_text()
    assert re.findall(r"docker run .*?(\S+)$", script, re.MULTILINE) == ["$registry_image"]
    # kind itself names the image of its nodes by digest.
    assert "image:" not in (paths.checkout() / "kind-config.yaml").read_text()
