"""The command `python3 -m orderfleet_local.provision [TOOL …]`, which `make` runs.

It must never do anything but parse, call the ladder and print.

Exit status: 0 every tool is there, 1 at least one can't be provided, 2 wrong arguments,
130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from orderfleet_local.provision.catalog import STACK_TOOLS, TEST_TOOLS, TOOLS
from orderfleet_local.provision.progress import Progress, ProvisionError
from orderfleet_local.provision.resolver import resolve


def main() -> int:
    """Provide the tools named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m orderfleet_local.provision",
        description="Provide the programs of the local stack: from PATH, the cache folder, the"
        " official release (verified by checksum), or a build by Go or Maven.",
    )
    parser.add_argument(
        "tools",
        nargs="*",
        metavar="TOOL",
        help=f"one of {', '.join(TOOLS)}; without any, what running the stack takes: {', '.join(STACK_TOOLS)}",
    )
    parser.add_argument("--all", action="store_true", help="what the tests take too")
    chosen = parser.parse_args()
    unknown = set(chosen.tools) - set(TOOLS)
    if unknown:
        parser.error(f"unknown tool {', '.join(sorted(unknown))}; known: {', '.join(TOOLS)}")
    names = TEST_TOOLS if chosen.all else tuple(chosen.tools) or STACK_TOOLS
    # Ending by SIGTERM must end the builds too, just as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress()
    try:
        served = resolve(names, progress)
    except ProvisionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; nothing half-made stays behind")
        return 130
    for name, tool in served.items():
        if tool.rung in {"PATH", "cache"}:
            note = f" ({tool.note})" if tool.note else ""
            progress.say(f"{name}: {tool.rung}{note}, {tool.path}, {tool.seconds:.1f} s")
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
