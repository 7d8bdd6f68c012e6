"""The alert rules with seconds in place of minutes, hours and days, for tests with real faults.

Only these differ: names of queues, `for`, evaluation intervals, windows, and thresholds of ages from 30 s to 15 min.
`test_rules.py` tests the original numbers with promtool.
"""

from __future__ import annotations

import re
from typing import Any

from orderfleet_local.stack import paths

RULES = paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"
WINDOWS = {"2m": "5s", "5m": "15s", "30m": "20s", "1h": "20s", "6h": "25s", "3d": "30s"}
AGE = re.compile(r"> (?:30|60|300|600|900)$", re.MULTILINE)

AGES = 8
"""Number of alerts on an age."""


def fast_rules(queues: Any) -> str:
    """The rules with the test's queues, in seconds."""
    text = RULES.read_text().replace("orders-tq", queues.orders).replace("shipping-tq", queues.shipping)
    text = re.sub(r"for: \d+[mh]\b", "for: 2s", text)
    text = re.sub(r"interval: \d+m\b", "interval: 1s", text)
    text = re.sub(r"offset 10m\b", "offset 20s", text)
    text, ages = AGE.subn("> 3", text)
    assert ages == AGES, "each threshold of an age must be shortened"
    for original, short in WINDOWS.items():
        text = text.replace(f"[{original}]", f"[{short}]")
    assert not re.findall(r"\[\d+[mhd]\]", text)
    return text
