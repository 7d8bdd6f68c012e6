"""A short storm over the whole local stack: every part and connection fails, and every promise is kept.

`make chaos` is the long one. The outcome doesn't depend on the machine's speed: promises are checked after
all faults are removed and the orders have settled.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaos.promises import promises
from chaos.report import document, no_violation, text, write
from chaos.schedule import PARTS
from chaos.storm import Size, storm

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.timeout(1200)
async def test_storm_over_the_whole_stack_breaks_no_promise(tmp_path: Path) -> None:
    size = Size(orders=60, faults=16, seed=SEED, concurrency=20, settle=180)
    run, evidence = await storm(size, lambda line: print(line, flush=True))
    found = document(run, evidence, promises(evidence))
    write(found, tmp_path / "chaos.json")
    print(f"\n{text(found)}")
    assert no_violation(found), text(found)
    assert found["promises"][0]["cases"] == size.orders
    assert len(evidence.orders) > size.orders / 2, "most orders were stored"
    assert {fault.target[0] for fault in run.faults_applied if len(fault.target) == 1} == set(PARTS)
