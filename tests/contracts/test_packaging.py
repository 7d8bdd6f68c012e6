"""The wheel and the image have the product, and nothing of the development tools."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from orderfleet_local.stack import paths

CHECKOUT = paths.checkout()
PRODUCT = "workers/orderfleet/"
DEVELOPMENT_COMMANDS = {"demo", "stack", "env"}
_COPY = re.compile(r"^COPY ((?:--\S+ )*)(.+) \S+$", re.MULTILINE)


def files_of_context() -> list[str]:
    """Return the files of the checkout that .dockerignore lets into the build context.

    It reads only the form that the file has: `*`, then `!` and a path for each exception.
    """
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [file for file in tracked.stdout.splitlines() if any(_is_below(file, path) for path in allowed)]


def copied_paths() -> list[str]:
    """Return the paths that the Dockerfile copies from the build context."""
    found = _COPY.findall((CHECKOUT / "deploy" / "Dockerfile").read_text())
    return [path for options, sources in found if "--from" not in options for path in sources.split()]


def _is_below(file: str, path: str) -> bool:
    return file == path or file.startswith(f"{path.rstrip('/')}/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(params=["wheel", "image"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder to import `orderfleet` from, with the files of the wheel or of the image."""
    if request.param == "wheel":
        with zipfile.ZipFile(request.getfixturevalue("wheel")) as archive:
            archive.extractall(tmp_path)
        return tmp_path
    for file in files_of_context():
        if any(_is_below(file, path) for path in copied_paths()):
            target = tmp_path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / file, target)
    return tmp_path / "workers"


def run_orderfleet(installation: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of an installation with the third-party libraries of this environment.

    `-S` skips the `.pth` file that puts the checkout's packages on the path.
    """
    path = os.pathsep.join((str(installation), sysconfig.get_path("purelib")))
    return subprocess.run(
        [sys.executable, "-S", "-m", "orderfleet", *arguments],
        cwd=installation,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_has_the_product_and_no_development_tools(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"orderfleet"}
    assert "orderfleet/cli/main.py" in names
    assert any(name.startswith("orderfleet/migrations/") and name.endswith(".sql") for name in names)
    assert "orderfleet_local" not in entry_points


@pytest.mark.parametrize("paths_of", [files_of_context, copied_paths], ids=[".dockerignore", "Dockerfile"])
def test_image_has_of_the_workers_only_the_product(paths_of):
    workers = [path for path in paths_of() if path.startswith("workers")]
    assert workers
    assert [path for path in workers if not f"{path}/".startswith(PRODUCT)] == []


def test_image_copies_only_paths_of_the_build_context():
    context = files_of_context()
    assert [path for path in copied_paths() if not any(_is_below(file, path) for file in context)] == []


def test_help_without_development_tools_lists_only_commands_of_the_product(installation):
    result = run_orderfleet(installation, "--help")
    assert result.returncode == 0, result.stderr
    words = set(re.findall(r"[\w-]+", result.stdout))
    assert {"order", "worker", "operator", "remove-finalizers"} <= words
    assert words.isdisjoint(DEVELOPMENT_COMMANDS)


@pytest.mark.parametrize("command", sorted(DEVELOPMENT_COMMANDS))
def test_development_command_without_development_tools_does_not_exist(installation, command):
    result = run_orderfleet(installation, command)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"No such command '{command}'" in result.stderr


def test_error_without_development_tools_suggests_no_development_command(installation, monkeypatch):
    monkeypatch.setenv("ORDERFLEET_DATABASE_URL", "postgresql://orderfleet@127.0.0.1:1/orderfleet")
    result = run_orderfleet(installation, "order", "list")
    assert result.returncode == 5, result.stderr
    assert result.stderr.strip().endswith("check that ORDERFLEET_DATABASE_URL is right")
