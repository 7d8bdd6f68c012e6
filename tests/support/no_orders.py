"""Services of the API without orders."""

from __future__ import annotations

from typing import Any

from orderfleet.services.errors import OrderNotFound


class NoOrders:
    """Records the request ids of calls, and finds no order: a 404 shows that the caller was let in."""

    def __init__(self) -> None:
        self.request_ids: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def ask(order_id: str, *args: Any, request_id: str = "", **kwargs: Any) -> None:
            self.request_ids.append(request_id)
            raise OrderNotFound(f"there is no order {order_id!r}")

        return ask
