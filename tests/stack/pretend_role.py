"""A process that behaves like one of the product's roles: `/readyz`, and a graceful end by SIGTERM.

Its argument says how: `well`, `stuck` (ignores SIGTERM), `unready`, `broken` (ends at once),
`clumsy` (finds its port taken the first time), `lingering` (its port is held for a while after it was
killed). It isn't ready while there is a file `not-ready`. It starts a child, as workers may.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOOD = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = MOOD != "unready" and not Path("not-ready").exists()
        self.send_response(200 if ready or self.path == "/healthz" else 503)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if MOOD == "broken":
    sys.exit("the pretended role is broken on purpose")
if MOOD == "clumsy" and not Path("was-here").exists():
    Path("was-here").touch()
    sys.exit("OSError: [Errno 98] Address already in use")
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["ORDERFLEET_HEALTH_PORT"])), Handler)
if MOOD == "lingering":
    # What the kernel does on a busy machine, made longer: nothing that the stack finds holds the port.
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


signal.signal(signal.SIGTERM, signal.SIG_IGN if MOOD == "stuck" else end)
server.serve_forever()
child.wait()
sys.stdout.write("drained\n")
