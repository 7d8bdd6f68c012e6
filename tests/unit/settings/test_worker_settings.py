"""Settings of the workers that are rejected."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orderfleet.settings import Settings


def test_worker_without_a_cache_is_rejected() -> None:
    """Orders use local activities, which the SDK loses without a cache."""
    with pytest.raises(ValidationError, match="worker_cached_workflows"):
        Settings(worker_cached_workflows=0)
