"""A Prometheus for one test, which scrapes every second."""

from __future__ import annotations

import http
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orderfleet_local.stack import ports
from support.prometheus_programs import program


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query; fail if the expression is invalid."""
        try:
            response = json.loads(self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.BAD_REQUEST:
                raise
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None
        assert response["status"] == "success", response
        found: list[dict[str, Any]] = response["data"]["result"]
        return found

    def get(self, path: str) -> bytes:
        """Return the response at a path."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {found["metric"]["alertname"] for found in self.query('ALERTS{alertstate="firing"}')}

    def ready(self) -> bool:
        try:
            return bool(self.query("vector(1)"))
        except OSError:
            return False


@contextmanager
def running(folder: Path, jobs: dict[str, list[int]], rules: str = "") -> Iterator[Prometheus]:
    """Run a Prometheus.

    Args:
        folder: of its data and its output.
        jobs: ports to scrape, by job.
        rules: content of its rule file.
    """
    port = ports.choose(0)
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in found]}]}
        for job, found in jobs.items()
    ]
    config = folder / "prometheus.yaml"
    (folder / "rules.yaml").write_text(rules)
    intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": intervals, "scrape_configs": scrapes, "rule_files": ["rules.yaml"] if rules else []}
    config.write_text(json.dumps(configuration))
    with (folder / "prometheus.out").open("wb") as output:
        process = subprocess.Popen(
            [
                *(program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"),
                *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
            ],
            stdout=output,
            stderr=output,
        )
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(20)
