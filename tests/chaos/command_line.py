"""The command line of the product as a client of a chaos run uses it: a process for each command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orderfleet.cli.errors import Exit
from orderfleet_local.stack.roles import PRODUCT

_TIMEOUT = 180.0
"""Seconds after which a command is ended and repeated; its own calls time out sooner, also on a slow machine."""
_CONCURRENT = 4
"""Commands that run at the same time; each loads the whole product."""


class CommandLine:
    """Runs commands, and repeats each until its answer is final.

    Args:
        environment: that connects them to the stack.
        folder: in which they run.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def run(self, *arguments: str) -> tuple[int, dict[str, Any], int]:
        """Run a command with `--output json`.

        Returns:
            Exit status, the printed document or `{"error": TEXT}`, and the number of attempts.
        """
        attempts = 0
        while True:
            attempts += 1
            async with self._slots:
                status, document = await self._run_once(*arguments)
            if status not in {None, Exit.UNAVAILABLE}:
                return status, document, attempts
            await asyncio.sleep(1)

    async def _run_once(self, *arguments: str) -> tuple[int | None, dict[str, Any]]:
        """The exit status, None if the command did not end in time, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *PRODUCT,
            *arguments,
            *("--output", "json"),
            env=self._environment,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                printed, errors = await process.communicate()
        except TimeoutError:
            return None, {}
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, json.loads(printed) if printed else {"error": errors.decode()[-500:]}
