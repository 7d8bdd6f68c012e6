"""Which version of a Go module a program is linked with.

Go's linker writes the modules of a program into it as text, also where debug information is left out
(https://pkg.go.dev/debug/buildinfo). It must never run the program.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from orderfleet.stack.provision.catalog import Tool

_LINE_BYTES = 512
_VERSION = re.compile(rb"[^\t\n]*?v(\d+)\.(\d+)\.(\d+)[^\n]*(?:\n=>\t[^\t\n]+\tv(\d+)\.(\d+)\.(\d+))?")


def version(program: Path, module: str) -> tuple[int, ...] | None:
    """Return the version of `module` in `program`, that of its replacement if it has one.

    Returns:
        None if the program is not made by Go or is not linked with the module.
    """
    with program.open("rb") as file:
        if file.seek(0, 2) == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            name = f"\ndep\t{module}\t".encode()
            begin = content.find(name)
            found = _VERSION.match(content[begin + len(name) : begin + _LINE_BYTES]) if begin >= 0 else None
    if found is None:
        return None
    numbers = found.groups()[3:] if found[4] else found.groups()[:3]
    return tuple(int(number) for number in numbers)


def fault(tool: Tool, program: Path) -> str | None:
    """Return why `program` is worse than the pinned build of `tool`; None if it is not."""
    if tool.linked is None:
        return None
    found = version(program, tool.linked.path)
    if found is not None and found >= tool.linked.oldest:
        return None
    wanted = ".".join(map(str, tool.linked.oldest))
    shown = "in a version that it does not show" if found is None else f"v{'.'.join(map(str, found))}"
    return f"it is linked with {tool.linked.path} {shown}, wanted v{wanted} or newer: {tool.linked.fault}"
