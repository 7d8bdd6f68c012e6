"""A release host as a process: serves the files below a folder, and misbehaves where it is told to.

A path that starts with `/truncated/` announces more than it sends; one with `/slow/` sends its
first half and then nothing for a minute. Prints its port.
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
        mood, _, name = rest.partition("/")
        path = FOLDER / name
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        half = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if path.suffix == ".sha256" or mood == "whole":
            self.wfile.write(content)
        elif mood == "truncated":
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
