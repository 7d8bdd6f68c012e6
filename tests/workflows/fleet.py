"""The names under which `tests/histories` imports the workflow test environment."""

from __future__ import annotations

from support.factories import ADDRESS, ELSEWHERE, quick_policy
from support.polling import eventually
from support.scripted_providers import Behavior, Gate, fails, hangs
from support.workflow_env import WorkflowTestEnv as Fleet
from support.workflow_env import workflow_test_env as fleet

__all__ = [
    "ADDRESS",
    "ELSEWHERE",
    "Behavior",
    "Fleet",
    "Gate",
    "eventually",
    "fails",
    "fleet",
    "hangs",
    "quick_policy",
]
