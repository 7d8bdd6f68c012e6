"""`temporal_server.problem` returns the call that fails, and its result."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orderfleet_local.stack import temporal_server

_ABSENT = (404, {"code": 5, "message": "workflow not found for ID: orderfleet"})
_WORKING = {"namespaces/default": (200, {}), "workflows": (200, {}), "workflows/": _ABSENT}


@pytest.fixture
def server() -> Iterator[Callable[..., dict[str, int]]]:
    """Return a function that starts a fake of the server's HTTP API with the given responses by call."""
    started: list[ThreadingHTTPServer] = []

    def start(**changed: tuple[int, object]) -> dict[str, int]:
        responses = {**_WORKING, **changed}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rest = self.path.partition("namespaces/default")[2].partition("?")[0]
                call = "namespaces/default" if not rest else "workflows/" if rest.count("/") > 1 else "workflows"
                status, body = responses[call]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        started.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, args=(0.05,), daemon=True).start()
        return {"http": started[-1].server_address[1]}

    yield start
    for each in started:
        each.shutdown()
        each.server_close()


def test_server_that_answers_every_call_has_no_problem(server):
    assert temporal_server.problem(server()) is None


# What the server with the old SQLite driver returned in the chaos tests.
@pytest.mark.parametrize(
    ("call", "response", "problem"),
    [
        ("namespaces/default", (503, {"message": "interrupted (9)"}), "DescribeNamespace returns 503: interrupted (9)"),
        (
            "workflows",
            (404, {"message": "Namespace default is not found."}),
            "ListWorkflowExecutions returns 404: Namespace default is not found.",
        ),
        (
            "workflows/",
            (404, {"message": "Namespace default is not found."}),
            "DescribeWorkflowExecution returns 404: Namespace default is not found.",
        ),
        (
            "workflows/",
            (503, {"message": "shard status unknown"}),
            "DescribeWorkflowExecution returns 503: shard status unknown",
        ),
        (
            "workflows",
            (502, b"<html>bad gateway</html>"),
            "ListWorkflowExecutions returns 502: <html>bad gateway</html>",
        ),
    ],
)
def test_server_with_an_error_has_the_call_and_the_error(server, call, response, problem):
    assert temporal_server.problem(server(**{call: response})) == problem


def test_server_that_is_down_has_a_problem(server):
    assert temporal_server.problem({"http": 1}) == "DescribeNamespace isn't answered within 3 s"
