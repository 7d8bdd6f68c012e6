"""Locked packages are checked for known vulnerabilities by the real auditor, with a service that reports one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orderfleet_local.stack import paths

NOTHING = "No known vulnerabilities found"
FOUND = "Found 2 known vulnerabilities in 1 package\nName Version ID\n"
UNAVAILABLE = "ERROR:pip_audit._cli:anyio: Dependency not found on PyPI and could not be audited: anyio (4.9.0)"


@contextmanager
def _service(vulnerable: str) -> Iterator[tuple[str, list[str]]]:
    """A service with osv.dev's API that reports one package; its address, and the packages of its requests."""
    requested: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            package = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
            requested.append(package["name"])
            known = {"id": "TEST-1", "summary": "an example", "affected": [{"package": package, "ranges": []}]}
            text = json.dumps({"vulns": [known]} if package["name"] == vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query", requested
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("vulnerable", ["temporalio", "not-locked"])
def test_every_locked_package_is_checked_and_a_known_vulnerability_fails(vulnerable: str) -> None:
    with _service(vulnerable) as (address, requested):
        command = ["make", "--no-print-directory", "audit", f"OSV={address}"]
        done = subprocess.run(command, cwd=paths.checkout(), check=False, capture_output=True, text=True, timeout=500)
    assert {"asyncpg", "kopf", "pydantic-settings", "temporalio"} <= set(requested)
    if vulnerable == "temporalio":
        assert done.returncode != 0
        assert "TEST-1" in done.stdout
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("output", "status", "expected", "warns"), [(NOTHING, 0, 0, False), (FOUND, 2, 2, False), (UNAVAILABLE, 2, 0, True)]
)
def test_vulnerability_fails_the_run_and_an_unavailable_database_prints_a_warning(
    tmp_path: Path, output: str, status: int, expected: int, warns: bool
) -> None:
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [paths.checkout() / ".ci/audit"], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == expected
    assert output.splitlines()[0] in done.stdout
    assert ("NOT AUDITED" in done.stderr) == warns
