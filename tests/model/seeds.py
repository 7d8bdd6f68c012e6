"""Seeds for random examples, and their report on failure."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def seeds(config: pytest.Config, seconds: float) -> Iterator[int]:
    """Yield random seeds until `seconds` have passed, at least one; with `--hypothesis-seed` only that one."""
    given = config.getoption("hypothesis_seed", default=None)
    if given is not None:
        yield int(given)
        return
    end = time.monotonic() + seconds
    while True:
        yield random.getrandbits(32)
        if time.monotonic() > end:
            return


@contextmanager
def name_seed_on_failure(seed: int) -> Iterator[None]:
    """Add the seed to the message of a failure."""
    try:
        yield
    except Exception as error:
        error.add_note(f"to repeat it, run this test with --hypothesis-seed={seed}")
        raise
