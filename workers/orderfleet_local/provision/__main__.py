"""The command `python3 -m orderfleet_local.provision [TOOL …]`.

Exit status: 0 every tool is available, 1 at least one can't be provided, 2 wrong arguments, 130 interrupted.
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
    """Provide the tools of the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python3 -m orderfleet_local.provision",
        description="Provide the programs of the local stack: from PATH, the cache folder, the"
        " official release (verified by checksum), or a build by Go or Maven.",
    )
    parser.add_argument(
        "tools",
        nargs="*",
        metavar="TOOL",
        help=f"one of {', '.join(TOOLS)}; default: the tools of the stack: {', '.join(STACK_TOOLS)}",
    )
    parser.add_argument("--all", action="store_true", help="the tools of the tests too")
    options = parser.parse_args()
    unknown = set(options.tools) - set(TOOLS)
    if unknown:
        parser.error(f"unknown tool {', '.join(sorted(unknown))}; known: {', '.join(TOOLS)}")
    names = TEST_TOOLS if options.all else tuple(options.tools) or STACK_TOOLS
    # SIGTERM must end the builds too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress()
    try:
        provided = resolve(names, progress)
    except ProvisionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; nothing incomplete was kept")
        return 130
    for name, tool in provided.items():
        if tool.source in {"PATH", "cache"}:
            note = f" ({tool.note})" if tool.note else ""
            progress.say(f"{name}: {tool.source}{note}, {tool.path}, {tool.seconds:.1f} s")
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
