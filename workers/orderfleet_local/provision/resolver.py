"""Provides tools: on PATH, in the cache, the official release, a build, in that order.

Where the release has a fault that the build has not, the build comes first, and a program with the fault is
used only where nothing can be built.

The provisioning command, the stack and the test harness call `provide`. All tools are climbed
for at the same time. It must never start a download or a build for a tool that is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from orderfleet_local.provision import cache as linked
from orderfleet_local.provision import cache as on_path
from orderfleet_local.provision import release
from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.cache import Cache
from orderfleet_local.provision.catalog import STACK_TOOLS, TOOLS, MavenFetch, Tool
from orderfleet_local.provision.progress import Progress, ProvisionError, StrategyFailed
from orderfleet_local.provision.release import Network
from orderfleet_local.stack import paths

_JOIN_STEP = 0.2


@dataclass(frozen=True, slots=True)
class Served:
    """A tool that is there: its executable, the rung that served it, seconds it took.

    `note` says why the rung before couldn't serve it; it may be empty.
    """

    path: Path
    rung: str
    seconds: float
    note: str = ""


class Resolver:
    """One run of provisioning."""

    def __init__(self, cache: Cache, network: Network, builder: Builder, progress: Progress) -> None:
        """Publish to `cache`; the other parts do the work of the rungs."""
        self._cache = cache
        self._network = network
        self._builder = builder
        self._progress = progress

    def provide(self, tools: Iterable[Tool]) -> dict[str, Served]:
        """Return every tool by name.

        Raises:
            ProvisionError: at least one tool can't be had; the others are tried to the end.
        """
        started = time.monotonic()
        served: dict[str, Served] = {}
        missing: dict[Tool, list[str]] = {}
        for tool in tools:
            found, reason = self._at_hand(tool, started)
            if found:
                served[tool.name] = found
            else:
                missing[tool] = [reason]
                self._progress.say(f"{tool.name} {tool.version}: {reason}, and not in the cache")
        if missing:
            self._make_all(missing, served)
        failed = {tool: reasons for tool, reasons in missing.items() if tool.name not in served}
        if failed:
            raise ProvisionError("\n".join(_explain(t, reasons) for t, reasons in failed.items()))
        return served

    def _at_hand(self, tool: Tool, started: float) -> tuple[Served | None, str]:
        try:
            path = on_path.find(tool, self._cache.folder)
        except StrategyFailed as reason:
            cached = self._cache.find(tool)
            if cached is None:
                return None, str(reason)
            return Served(cached, "cache", time.monotonic() - started, str(reason)), str(reason)
        return Served(path, "PATH", time.monotonic() - started), ""

    def _make_all(self, missing: dict[Tool, list[str]], served: dict[str, Served]) -> None:
        for tool in missing:
            try:
                self._network.probe(release.addresses(tool))
            except StrategyFailed:
                continue
        # Daemon threads, so that Ctrl-C doesn't wait for a download that stands still.
        threads = [
            threading.Thread(target=self._make, args=(tool, reasons, served), daemon=True)
            for tool, reasons in missing.items()
        ]
        with self._progress.heartbeat():
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(_JOIN_STEP)
            finally:
                self._builder.stop()

    def _make(self, tool: Tool, reasons: list[str], served: dict[str, Served]) -> None:
        started = time.monotonic()
        try:
            with self._cache.locked(tool):
                path, rung = self._climb(tool, reasons)
        except StrategyFailed as reason:
            reasons.append(str(reason))
        except OSError as error:
            reasons.append(f"{self._cache.folder} can't be used: {error}")
        else:
            seconds = time.monotonic() - started
            served[tool.name] = Served(path, rung, seconds)
            self._progress.say(f"{tool.name} {tool.version}: {rung}, {seconds:.1f} s")

    def _climb(self, tool: Tool, reasons: list[str]) -> tuple[Path, str]:
        cached = self._cache.find(tool)
        if cached is not None:
            return cached, "in the cache, another run made it"
        first, second = (self._download, self._build) if tool.linked is None else (self._build, self._with_fault)
        try:
            return first(tool)
        except StrategyFailed as reason:
            reasons.append(str(reason))
            then = "a build" if tool.linked is None else "a program with a fault"
            self._progress.say(f"{tool.name} {tool.version}: {reason}; next is {then}")
        return second(tool)

    def _download(self, tool: Tool) -> tuple[Path, str]:
        with self._progress.busy(f"downloading {tool.name}"), self._cache.workshop(tool) as folder:
            host = release.fetch(tool, folder, self._network)
        return self._cache.place(tool) / tool.name, f"official release from {host}"

    def _build(self, tool: Tool) -> tuple[Path, str]:
        with self._cache.workshop(tool) as folder:
            maker = self._builder.make(tool, folder, self._progress)
            fault = linked.driver_fault(tool, folder / tool.name)
            if fault is not None:
                raise StrategyFailed(f"the build isn't taken: {fault}")
        return self._cache.place(tool) / tool.name, f"built by {maker}"

    def _with_fault(self, tool: Tool) -> tuple[Path, str]:
        """Return a program that has the fault, because nothing can be built; the text names the fault."""
        plain = replace(tool, linked=None)
        cached = self._cache.find(plain)
        try:
            path, rung = on_path.find(plain, self._cache.folder), "PATH"
        except StrategyFailed:
            path, rung = self._download(plain) if cached is None else (cached, "cache")
        return path, f"{rung}, {path}, although {linked.driver_fault(tool, path) or 'it was not built here'}"


def provide(names: Iterable[str] = STACK_TOOLS, progress: Progress | None = None) -> dict[str, Path]:
    """Return the executables of the named tools, made where they are missing.

    Raises:
        ProvisionError: a tool can't be had; the message says why and what to install.
    """
    return {name: served.path for name, served in resolve(names, progress).items()}


def resolve(names: Iterable[str], progress: Progress | None = None) -> dict[str, Served]:
    """Like `provide`, with the rung that served each tool and the seconds it took."""
    ladder = Resolver(
        Cache(paths.cache_dir()),
        Network(),
        Builder(paths.tool_pins()),
        progress or Progress(),
    )
    return ladder.provide(TOOLS[name] for name in names)


def _explain(tool: Tool, reasons: list[str]) -> str:
    needed = "Java 17 and Maven" if isinstance(tool.recipe, MavenFetch) else "Go 1.26 or newer"
    tried = "\n  - ".join(reasons)
    return (
        f"{tool.name} {tool.version} can't be provided:\n  - {tried}\n"
        f"  Connect to a network, or install {needed}, and run this again."
    )
