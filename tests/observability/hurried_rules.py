"""The alerts as tests with real faults use them: the same expressions, on seconds instead of minutes, hours and days.

What is changed, and nothing else: the queues' names; how long an expression must hold (`for`) and how often it is
evaluated; the windows it looks back over; ages of which an alert tells after half a minute or more. The true numbers
are what `test_rules.py` holds by promtool.
"""

from __future__ import annotations

import re
from typing import Any

from orderfleet_local.stack import paths

RULES = paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"
WINDOWS = {"2m": "5s", "5m": "15s", "30m": "20s", "1h": "20s", "6h": "25s", "3d": "30s"}
AGE = re.compile(r"> (?:30|60|300|600|900)$", re.MULTILINE)

AGES = 7
"""Alerts that tell of one."""


def hurried(queues: Any) -> str:
    """The rules on the test's queues, in seconds."""
    text = RULES.read_text().replace("orders-tq", queues.orders).replace("shipping-tq", queues.shipping)
    text = re.sub(r"for: \d+[mh]\b", "for: 2s", text)
    text = re.sub(r"interval: \d+m\b", "interval: 1s", text)
    text = re.sub(r"offset 10m\b", "offset 20s", text)
    text, ages = AGE.subn("> 3", text)
    assert ages == AGES, "an age that isn't shortened can't be waited for"
    for true, short in WINDOWS.items():
        text = text.replace(f"[{true}]", f"[{short}]")
    assert not re.findall(r"\[\d+[mhd]\]", text)
    return text
