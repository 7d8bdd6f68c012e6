"""Provides tools from the first source that has them: PATH, the cache, the official release, a build.

If the release has a fault that the build has not, the build comes first, and a program with the fault is used only if
nothing can be built. Tools are provided concurrently. A download or a build must never be started for a tool that is
available.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from orderfleet_local.provision import release
from orderfleet_local.provision.build import Builder
from orderfleet_local.provision.cache import Cache, find_on_path, module_fault
from orderfleet_local.provision.catalog import STACK_TOOLS, TOOLS, MavenFetch, Tool
from orderfleet_local.provision.progress import Progress, ProvisionError, StrategyFailed
from orderfleet_local.provision.release import Network
from orderfleet_local.stack import paths

_JOIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ProvidedTool:
    """An available tool.

    Attributes:
        path: of the executable.
        source: that provided it.
        seconds: that it took.
        note: why the previous source couldn't provide it; may be empty.
    """

    path: Path
    source: str
    seconds: float
    note: str = ""


class Resolver:
    """One run of provisioning."""

    def __init__(self, cache: Cache, network: Network, builder: Builder, progress: Progress) -> None:
        """Create a resolver.

        Args:
            cache: of published tools.
            network: for releases.
            builder: for builds.
            progress: output.
        """
        self._cache = cache
        self._network = network
        self._builder = builder
        self._progress = progress

    def provide(self, tools: Iterable[Tool]) -> dict[str, ProvidedTool]:
        """Return every tool by name.

        Raises:
            ProvisionError: at least one tool can't be provided; the others were.
        """
        started = time.monotonic()
        provided: dict[str, ProvidedTool] = {}
        missing: dict[Tool, list[str]] = {}
        for tool in tools:
            found, reason = self._find_available(tool, started)
            if found:
                provided[tool.name] = found
            else:
                missing[tool] = [reason]
                self._progress.say(f"{tool.name} {tool.version}: {reason}, and not in the cache")
        if missing:
            self._create_all(missing, provided)
        failed = {tool: reasons for tool, reasons in missing.items() if tool.name not in provided}
        if failed:
            raise ProvisionError("\n".join(_explain(t, reasons) for t, reasons in failed.items()))
        return provided

    def _find_available(self, tool: Tool, started: float) -> tuple[ProvidedTool | None, str]:
        try:
            path = find_on_path(tool, self._cache.folder)
        except StrategyFailed as reason:
            cached = self._cache.find(tool)
            if cached is None:
                return None, str(reason)
            return ProvidedTool(cached, "cache", time.monotonic() - started, str(reason)), str(reason)
        return ProvidedTool(path, "PATH", time.monotonic() - started), ""

    def _create_all(self, missing: dict[Tool, list[str]], provided: dict[str, ProvidedTool]) -> None:
        for tool in missing:
            try:
                self._network.probe(release.addresses(tool))
            except StrategyFailed:
                continue
        # Daemon threads, so that Ctrl-C doesn't wait for a stalled download.
        threads = [
            threading.Thread(target=self._create, args=(tool, reasons, provided), daemon=True)
            for tool, reasons in missing.items()
        ]
        with self._progress.heartbeat():
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(_JOIN_SECONDS)
            finally:
                self._builder.stop()

    def _create(self, tool: Tool, reasons: list[str], provided: dict[str, ProvidedTool]) -> None:
        started = time.monotonic()
        try:
            with self._cache.locked(tool):
                path, source = self._from_next_source(tool, reasons)
        except StrategyFailed as reason:
            reasons.append(str(reason))
        except OSError as error:
            reasons.append(f"{self._cache.folder} can't be used: {error}")
        else:
            seconds = time.monotonic() - started
            provided[tool.name] = ProvidedTool(path, source, seconds)
            self._progress.say(f"{tool.name} {tool.version}: {source}, {seconds:.1f} s")

    def _from_next_source(self, tool: Tool, reasons: list[str]) -> tuple[Path, str]:
        cached = self._cache.find(tool)
        if cached is not None:
            return cached, "cache, created by another run"
        first, second = (self._download, self._build) if tool.linked is None else (self._build, self._with_fault)
        try:
            return first(tool)
        except StrategyFailed as reason:
            reasons.append(str(reason))
            fallback = "a build" if tool.linked is None else "a program with a fault"
            self._progress.say(f"{tool.name} {tool.version}: {reason}; trying {fallback}")
        return second(tool)

    def _download(self, tool: Tool) -> tuple[Path, str]:
        with self._progress.busy(f"downloading {tool.name}"), self._cache.publishing(tool) as folder:
            host = release.fetch(tool, folder, self._network)
        return self._cache.tool_folder(tool) / tool.name, f"official release from {host}"

    def _build(self, tool: Tool) -> tuple[Path, str]:
        with self._cache.publishing(tool) as folder:
            build_tool = self._builder.make(tool, folder, self._progress)
            fault = module_fault(tool, folder / tool.name)
            if fault is not None:
                raise StrategyFailed(f"the build is not accepted: {fault}")
        return self._cache.tool_folder(tool) / tool.name, f"built by {build_tool}"

    def _with_fault(self, tool: Tool) -> tuple[Path, str]:
        """Return a program with the fault, because nothing can be built, and a text with its source and the fault."""
        plain = replace(tool, linked=None)
        cached = self._cache.find(plain)
        try:
            path, source = find_on_path(plain, self._cache.folder), "PATH"
        except StrategyFailed:
            path, source = self._download(plain) if cached is None else (cached, "cache")
        return path, f"{source}, {path}, although {module_fault(tool, path) or 'it was not built here'}"


def provide(names: Iterable[str] = STACK_TOOLS) -> dict[str, Path]:
    """Return the executables of these tools; download or build those that are missing.

    Raises:
        ProvisionError: a tool can't be provided; the message says why and what to install.
    """
    return {name: provided.path for name, provided in resolve(names, Progress()).items()}


def resolve(names: Iterable[str], progress: Progress) -> dict[str, ProvidedTool]:
    """Like `provide`, but return the source and the duration of each tool too."""
    resolver = Resolver(Cache(paths.cache_dir()), Network(), Builder(paths.tool_pins()), progress)
    return resolver.provide(TOOLS[name] for name in names)


def _explain(tool: Tool, reasons: list[str]) -> str:
    needed = "Java 17 and Maven" if isinstance(tool.recipe, MavenFetch) else "Go 1.26 or newer"
    tried = "\n  - ".join(reasons)
    return (
        f"{tool.name} {tool.version} can't be provided:\n  - {tried}\n"
        f"  Connect to a network, or install {needed}, and run this again."
    )
