"""A release host as a process: serves the files in a folder, and prints its port.

The response to a path under `/truncated/` is shorter than its Content-Length. Under `/slow/` it stalls for a minute
after the first half.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        _, _, rest = self.path.partition("/")
        mode, _, name = rest.partition("/")
        path = FOLDER / name
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        half = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if path.suffix == ".sha256" or mode == "whole":
            self.wfile.write(content)
        elif mode == "truncated":
            self.wfile.write(half)
        else:
            self.wfile.write(half)
            self.wfile.flush()
            time.sleep(60)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
sys.stdout.write(f"{server.server_port}\n")
sys.stdout.flush()
server.serve_forever()
