"""What the operator watches and how much of it at once."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.runtime.settings.base import Group


class OperatorSettings(Group):
    """Settings of the operator."""

    operator_namespaces: str = Field(
        default="", description="Namespaces the operator watches, comma-separated; empty is all."
    )
    operator_concurrency: int = Field(default=20, ge=1, description="Orders the operator handles at once.")
    operator_watch_silence: Duration = Field(
        default=parse_duration("30s"),
        gt=timedelta(0),
        description="Longest that the operator waits for a word of the API server before it watches anew: how long"
        " it may be deaf on a connection that died unheard. A quiet cluster costs one request each time.",
    )
