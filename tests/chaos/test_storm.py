"""A short storm over the whole local stack: everything goes wrong, and every promise is kept.

`make chaos` is the long one. Nothing here depends on how quick anything is: what counts is how things stand
once the storm is over and the orders came to rest.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from promises import promises
from report import document, no_violation, text, write
from schedule import PARTS
from storm import Size, storm

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.timeout(1200)
async def test_a_storm_over_the_whole_stack_breaks_no_promise(tmp_path: Path) -> None:
    size = Size(orders=60, faults=16, seed=SEED, concurrency=20, settle=180)
    run, evidence = await storm(size, lambda line: print(line, flush=True))
    found = document(run, evidence, promises(evidence))
    write(found, tmp_path / "chaos.json")
    print(f"\n{text(found)}")
    assert no_violation(found), text(found)
    assert found["promises"][0]["held_against"] == size.orders
    assert len(evidence.orders) > size.orders / 2, "most orders came as far as the record"
    assert {fault.at[0] for fault in run.faults_applied if len(fault.at) == 1} == set(PARTS)
