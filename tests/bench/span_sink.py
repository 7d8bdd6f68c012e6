"""Receives the benchmark's traces and drops them: `python span_sink.py PORT`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class _Sink(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        # An empty message is a valid response. The request is not parsed.
        return grpc.unary_unary_rpc_method_handler(lambda _sent, _context: b"") if details.method == _EXPORT else None


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(1), handlers=[_Sink()])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()
