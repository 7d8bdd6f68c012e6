"""The budget of time of a request: opened for each, so that every caller is answered in time. `app` puts it around all.

A body that is still on its way is the caller's own time: the budget begins once the request is there.
"""

from __future__ import annotations

from datetime import timedelta

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orderfleet.client.budget import Budget, spending


class BudgetedRequests:
    """Gives each request its budget.

    Args:
        app: what it is put around.
        patience: the budget.
    """

    def __init__(self, app: ASGIApp, patience: timedelta) -> None:
        self._app = app
        self._seconds = patience.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI 3.0)."""
        budget = Budget(self._seconds)

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                budget.begin()
            return message

        with spending(budget):
            await self._app(scope, received, send)
