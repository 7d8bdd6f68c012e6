"""Starts Stripe's server of the tests as a process, and calls its methods."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.programs import running_server


class StripeProcess:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call a method of `StripeServer`, such as `books.finish`, or read an attribute; return the result."""
        body = json.dumps({"name": name, "args": args, "options": options}).encode()
        request = urllib.request.Request(f"{self.url}/_call", data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def intents(self, payment_id: str) -> list[dict[str, Any]]:
        """Return the PaymentIntents of a payment."""
        found = self.call("books.intents").values()
        return [each for each in found if each["metadata"].get("orderfleet_payment_id") == payment_id]


@contextmanager
def stripe_process() -> Iterator[StripeProcess]:
    """Start a server, and kill it at the end."""
    with running_server("stripe_server.server") as url:
        yield StripeProcess(url)
