"""Lives that differ from run to run, for as long as there is time; what fails says how to play it again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def seeds(config: pytest.Config, seconds: float) -> Iterator[int]:
    """A seed after the other until the time is over, at least one; with `--hypothesis-seed` that one alone."""
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
    """A failure names the seed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"to play it again, run this test with --hypothesis-seed={seed}")
        raise
