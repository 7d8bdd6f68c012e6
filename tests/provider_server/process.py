"""Starts the provider server for a test, scripts its faults and reads its calls."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.programs import running_server


class ProviderServer:
    """A running server."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.ledger = folder / "ledger.db"

    def script(self, path: str, *faults: str | dict[str, Any]) -> None:
        """Give the next calls of `path` these faults, in order."""
        scripted = [fault if isinstance(fault, dict) else {"fault": fault} for fault in faults]
        self._request("/_script", {"path": path, "faults": scripted})

    def answers(self, path: str, status: int, body: Any = "", **headers: str) -> None:
        """Answer the next call of `path` with this, without doing its work."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script(path, {"fault": "answer", "status": status, "body": body, "headers": named})

    def clear_script(self, path: str) -> None:
        """Remove the scripted faults of `path`."""
        self._request("/_script", {"path": path, "faults": [], "clear": True})

    def calls(self, **like: Any) -> list[dict[str, Any]]:
        """Return the calls so far whose body has these fields."""
        return [call for call in json.loads(self._request("/_calls")) if like.items() <= call["body"].items()]

    def _request(self, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=30) as answer:
            return answer.read()


@contextmanager
def provider_server(folder: Path, *options: str) -> Iterator[ProviderServer]:
    """Start a server whose ledger is in `folder`, and kill it at the end."""
    with running_server("provider_server.server", str(folder), *options) as port:
        yield ProviderServer(f"http://127.0.0.1:{port}", folder)
