"""Runs the Tiltfile in a Starlark interpreter with stubs of Tilt's built-ins, which record their calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import starlark
import yaml

TRIGGER_MODES = {"TRIGGER_MODE_AUTO": 0, "TRIGGER_MODE_MANUAL": 1}


@dataclass
class Tilt:
    """The calls of a Tiltfile."""

    calls: defaultdict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def run(self, file: Path) -> None:
        """Execute a Tiltfile.

        Raises:
            starlark.StarlarkError: it isn't right, or names a built-in that isn't known here.
        """
        module = starlark.Module()
        for name, built_in in BUILT_INS.items():
            module.add_callable(name, self._recorder(name, built_in))
        for name, value in TRIGGER_MODES.items():
            module[name] = value
        dialect = starlark.Dialect.extended()
        dialect.enable_top_level_stmt = True
        starlark.eval(module, starlark.parse(file.name, file.read_text(), dialect), starlark.Globals.standard())

    def _recorder(self, name: str, built_in: BuiltIn) -> Callable[..., Any]:
        def record(*arguments: Any, **named: Any) -> Any:
            assert len(arguments) == built_in.places, name
            assert set(named) <= built_in.names, name
            self.calls[name].append((arguments, named))
            return built_in.answer(*arguments, **named)

        return record


@dataclass(frozen=True)
class BuiltIn:
    """Positional and named arguments of a built-in, and its result."""

    places: int
    names: frozenset[str] = frozenset()
    answer: Callable[..., Any] = lambda *_, **__: None


# As in Tilt's API reference, as far as the Tiltfile uses them.
BUILT_INS: dict[str, BuiltIn] = {
    "allow_k8s_contexts": BuiltIn(1),
    "docker_build": BuiltIn(2, frozenset({"dockerfile", "target", "only", "ignore", "live_update"})),
    "sync": BuiltIn(2, answer=lambda local, remote: {"sync": [local, remote]}),
    "fall_back_on": BuiltIn(1, answer=lambda files: {"fall_back_on": files}),
    "helm": BuiltIn(1, frozenset({"name", "namespace", "values"}), lambda path, **named: {"helm": path, **named}),
    "k8s_yaml": BuiltIn(1),
    "encode_yaml": BuiltIn(1, answer=yaml.safe_dump),
    "k8s_resource": BuiltIn(1, frozenset({"labels", "port_forwards", "resource_deps"})),
    "local_resource": BuiltIn(1, frozenset({"cmd", "labels", "auto_init", "trigger_mode", "resource_deps"})),
}
