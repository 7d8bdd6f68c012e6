"""An OTLP receiver in a process of its own, which writes each received span as a line of JSON.

`python otlp_receiver.py PORT FILE` starts it; `run_receiver` does so in tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

ERROR = 2


@dataclass(frozen=True)
class Span:
    """A received span."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool
    events: list[dict[str, Any]]
    links: list[str]
    started_at: int
    ended_at: int


@dataclass(frozen=True)
class Receiver:
    """A running receiver."""

    endpoint: str
    file: Path

    def spans(self) -> list[Span]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [Span(**json.loads(line)) for line in lines]

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans() if span.trace == trace_id]


@contextmanager
def run_receiver(folder: Path, port: int) -> Iterator[Receiver]:
    """Run a receiver while the context is open.

    Args:
        folder: for the file of spans.
        port: to listen on.
    """
    file = folder / "spans.jsonl"
    process = subprocess.Popen([sys.executable, __file__, str(port), str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield Receiver(f"127.0.0.1:{port}", file)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Writer(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, file: Path) -> None:
        self._file = file

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - grpc's name
        lines = [
            json.dumps(_as_dict(span, _plain(resource.resource.attributes)))
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._file.open("a") as output:
            output.write("".join(f"{line}\n" for line in lines))
        return trace_service_pb2.ExportTraceServiceResponse()


def _as_dict(span: Any, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "service": resource["service.name"],
        "attributes": _plain(span.attributes),
        "resource": resource,
        "failed": span.status.code == ERROR,
        "events": [{"name": event.name, **_plain(event.attributes)} for event in span.events],
        "links": [link.trace_id.hex() for link in span.links],
        "started_at": span.start_time_unix_nano,
        "ended_at": span.end_time_unix_nano,
    }


def _plain(attributes: Any) -> dict[str, Any]:
    return {attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value")) for attribute in attributes}


def _serve(port: int, file: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Writer(file), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
