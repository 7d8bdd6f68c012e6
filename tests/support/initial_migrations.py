"""The migrations that the first release has: no release was ever without them, so they leave none behind."""

from __future__ import annotations

INITIAL = 12
"""Number of the last one."""
