"""What the operator watches and how much of it at once."""

from __future__ import annotations

from pydantic import Field

from orderfleet.runtime.settings.base import Group


class OperatorSettings(Group):
    """Settings of the operator."""

    operator_namespaces: str = Field(
        default="", description="Namespaces the operator watches, comma-separated; empty is all."
    )
    operator_concurrency: int = Field(default=20, ge=1, description="Orders the operator handles at once.")
