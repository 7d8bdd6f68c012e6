"""A process that behaves like one of the product's roles: it serves `/readyz` and ends gracefully on SIGTERM.

Its argument is the mode: `well`, `stuck` (ignores SIGTERM), `unready`, `broken` (ends immediately), `clumsy` (its port
is in use at the first start), `lingering` (its port stays bound for a time after it was killed). It isn't ready while
a file `not-ready` exists. It starts a child process, as workers may.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = MODE != "unready" and not Path("not-ready").exists()
        self.send_response(200 if ready or self.path == "/healthz" else 503)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if MODE == "broken":
    sys.exit("the fake role is broken on purpose")
if MODE == "clumsy" and not Path("started-before").exists():
    Path("started-before").touch()
    sys.exit("OSError: [Errno 98] Address already in use")
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["ORDERFLEET_HEALTH_PORT"])), Handler)
if MODE == "lingering":
    # As the kernel does for a short time on a busy machine: a process that the stack doesn't find has the port.
    server.socket.set_inheritable(True)
    subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, time\nwhile os.getppid() == {os.getpid()}: time.sleep(0.01)\ntime.sleep(1)",
        ],
        env={},
        close_fds=False,
    )
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def end(*_: object) -> None:
    child.terminate()
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, signal.SIG_IGN if MODE == "stuck" else end)
server.serve_forever()
child.wait()
sys.stdout.write("drained\n")
