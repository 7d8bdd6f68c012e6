"""What the operator asks of kopf: credentials, and every change of an Order. A table of contents.

No handler keeps state in the object, so kopf writes nothing: the level-based queue does the rest.
"""

from __future__ import annotations

from typing import Any, Protocol

import kopf

from orderfleet.contracts.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION
from orderfleet.operator import access


class Inbox(Protocol):
    """Who is told of the Orders."""

    def seen(self, body: dict[str, Any]) -> None:
        """An Order is there, new or changed or listed again."""

    def gone(self, body: dict[str, Any]) -> None:
        """An Order is deleted, or got the label of those that ended, or labels that make it another operator's."""


def registry(inbox: Inbox) -> kopf.OperatorRegistry:
    """Return the handlers, to be run by `watch`."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return access.login(settings)

    @kopf.on.event(CRD_GROUP, CRD_VERSION, CRD_PLURAL, registry=handlers)
    async def order_changed(event: kopf.RawEvent, **_: Any) -> None:
        body: dict[str, Any] = dict(event["object"])
        if event["type"] == "DELETED":
            inbox.gone(body)
        else:
            inbox.seen(body)

    return handlers
