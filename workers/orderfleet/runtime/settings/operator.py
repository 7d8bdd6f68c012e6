"""What the operator watches and how much of it at once."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from orderfleet.contracts.duration import Duration, parse_duration
from orderfleet.contracts.label_selector import LabelSelector
from orderfleet.runtime.settings.base import Group


class OperatorSettings(Group):
    """Settings of the operator."""

    operator_namespaces: str = Field(
        default="", description="Namespaces the operator watches, comma-separated; empty is all."
    )
    operator_selector: str = Field(
        default="",
        description="Labels of the Orders that this operator takes, as in `kubectl get -l`: `shard=a`,"
        " `shard notin (a,b)`; empty is all. Several operators share the Orders so; each Order must be meant by one.",
    )
    operator_concurrency: int = Field(default=20, ge=1, description="Orders the operator handles at once.")
    operator_watch_silence: Duration = Field(
        default=parse_duration("30s"),
        gt=timedelta(0),
        description="Longest that the operator waits for a word of the API server before it watches anew: how long"
        " it may be deaf on a connection that died unheard. A quiet cluster costs one request each time.",
    )

    operator_own_namespace: str = Field(
        default="",
        description="Namespace that the operator runs in. If it is being deleted when the operator is stopped, the"
        " operator deletes its Orders there and cancels what they started, and removes its finalizer from all others:"
        " nothing hangs in deletion. Empty: not checked.",
    )
    operator_namespace_deletion_timeout: Duration = Field(
        default=parse_duration("60s"),
        gt=timedelta(0),
        description="How long that may take. The pod's grace period is longer than this and the drain together.",
    )

    @field_validator("operator_selector")
    @classmethod
    def _readable(cls, text: str) -> str:
        return str(LabelSelector.read(text))
