"""Builds tools with Go, or fetches them with Maven, from the pinned files under `deploy/tools/`.

A build takes minutes, so at most two run at a time. Builds of the same module run one after the other, because the
second then uses the first one's packages from Go's build cache. A pinned file must never be changed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from orderfleet_local.provision.catalog import GoBuild, MavenFetch, Tool
from orderfleet_local.provision.progress import Progress, StrategyFailed

_LOG_LINES = 8


class Builder:
    """Runs the builds of one run."""

    def __init__(self, pins: Path) -> None:
        """Create a builder from the pinned files in the folder `pins`."""
        self._pins = pins
        self._slots = threading.Semaphore(2)
        self._module_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._running: set[subprocess.Popen[str]] = set()

    def make(self, tool: Tool, folder: Path, progress: Progress) -> str:
        """Build a tool and return the name of the build tool.

        Args:
            tool: to build.
            folder: for the executable.
            progress: shows that the build runs.

        Raises:
            StrategyFailed: the build tool isn't installed, or failed.
        """
        recipe = tool.recipe
        pins = self._pins / recipe.module
        if not pins.is_dir():
            raise StrategyFailed(f"{pins} is missing; builds need a full checkout")
        with self._module_locks[recipe.module], self._slots, progress.busy(f"building {tool.name}"):
            if isinstance(recipe, GoBuild):
                self._go(recipe, pins, folder / tool.name)
                return "Go"
            self._maven(recipe, pins, folder, folder / tool.name)
            return "Maven"

    def stop(self) -> None:
        """Kill every running build with its child processes."""
        for process in tuple(self._running):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _go(self, recipe: GoBuild, pins: Path, target: Path) -> None:
        go = shutil.which("go")
        if go is None:
            raise StrategyFailed("Go isn't installed")
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-trimpath -mod=readonly -buildvcs=false",
            "GOWORK": "off",
            # Fewer garbage collections of the compiler: about a tenth less CPU for 50 % more memory, measured on etcd.
            # Turned off, they took a sixth of the CPU, but then a compilation needs 2.5 times the memory.
            "GOGC": os.environ.get("GOGC", "400"),
        }
        command = [
            *(go, "build", "-ldflags", recipe.linker_flags, "-tags", recipe.tags),
            # The linker strips debug information; not generating it saves an eighth of the time.
            "-gcflags=all=-dwarf=false",
            *("-o", str(target), recipe.package),
        ]
        self._run(command, pins, environment)

    def _maven(self, recipe: MavenFetch, pins: Path, folder: Path, target: Path) -> None:
        maven = shutil.which("mvn")
        if maven is None or shutil.which("java") is None:
            raise StrategyFailed("Java and Maven aren't both installed")
        command = [
            *(maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pins / "pom.xml")),
            *("dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"),
        ]
        self._run(command, folder, dict(os.environ))
        # The server runs for seconds: optimizing compilation costs more than it saves.
        target.write_text(
            "#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
            f' -cp "$(dirname "$0")/lib/*" {recipe.main_class} "$@"\n'
        )

    def _run(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        program = Path(command[0]).name
        # With setpriv, a build ends if this process is killed.
        setpriv = shutil.which("setpriv")
        if setpriv is not None:
            command = [setpriv, "--pdeathsig", "KILL", *command]
        # A group of its own, so that `stop` reaches the compilers too.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._running.add(process)
        try:
            output, _ = process.communicate()
        finally:
            self._running.discard(process)
        if process.returncode != 0:
            tail = "\n    ".join(output.splitlines()[-_LOG_LINES:])
            raise StrategyFailed(f"{program} failed:\n    {tail}")
