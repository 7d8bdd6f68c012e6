"""The real services that tests run against: PostgreSQL, Temporal, a Kubernetes API server.

The first test that needs a service starts it, once for all pytest-xdist workers; the session that owns the folder stops
it. A service that can't be started fails the tests that need it, and must never make them skip.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import apiserver, postgres, processes, temporal_server
from orderfleet_local.stack.launch import launch
from support import class_archive

TEMPLATE = "migrated"
# Databases are copied and dropped constantly, and autovacuum would lock the template.
_TEST_DATABASE_SETTINGS = {"autovacuum": "off", "synchronous_commit": "off", "max_connections": "300"}


class KubectlFailed(AssertionError):
    pass


@dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes API server with the Order resource, and a namespace for one test."""

    program: Path
    kubeconfig: Path
    namespace: str
    store: str
    """Address of the etcd that stores its objects."""

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as in subprocess
        """Run kubectl in the test's namespace.

        Args:
            arguments: of kubectl.
            input: its standard input.

        Returns:
            Its standard output.

        Raises:
            KubectlFailed: it exited with an error.
        """
        result = self._run(arguments, input)
        if result.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}\n{result.stdout}{result.stderr}")
        return result.stdout

    def kubectl_fails(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as in subprocess
        """Run kubectl, which must fail; return its standard error."""
        result = self._run(arguments, input)
        assert result.returncode != 0, f"kubectl {' '.join(arguments)} was accepted\n{result.stdout}"
        return result.stderr

    def _run(self, arguments: tuple[str, ...], text: str | None) -> subprocess.CompletedProcess[str]:
        command = [
            str(self.program),
            *("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.kubeconfig.parent / "kubectl-cache")),
            *("--namespace", self.namespace, *arguments),
        ]
        return subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=60)


class Backing:
    """The services of one test session.

    Args:
        folder: of their state.
        apiserver_flags: additional flags of the API server.
    """

    def __init__(self, folder: Path, apiserver_flags: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._apiserver_flags = apiserver_flags

    def temporal_address(self) -> str:
        return self._once("temporal", self._start_temporal)["address"]

    @contextmanager
    def database(self, *, migrated: bool) -> Iterator[str]:
        """Yield the URL of a new database, with or without the migrations."""
        self._once("postgres", self._start_postgres)
        if migrated:
            self._once("template", self._make_template)
        name = f"t_{uuid.uuid4().hex}"
        template = TEMPLATE if migrated else "template0"
        self._postgres_program("createdb", f"--template={template}", name)
        try:
            yield self._database_url(name)
        finally:
            self._postgres_program("dropdb", "--force", name)

    def kubernetes(self) -> Kubernetes:
        """Return the API server with a new namespace."""
        server = self._once("kubernetes", self._start_kubernetes)
        namespace = f"test-{uuid.uuid4().hex[:12]}"
        kubernetes = Kubernetes(Path(server["kubectl"]), Path(server["kubeconfig"]), namespace, server["store"])
        kubernetes.kubectl("create", "namespace", namespace)
        return kubernetes

    def test_server(self) -> Path:
        """Return the program of the time-skipping test server."""
        return Path(self._once("test-server", self._prepare_test_server)["program"])

    def stop(self) -> None:
        """Kill every process that a pytest-xdist worker started, and remove the folder."""
        for found in processes.find(self.folder).values():
            # The data is removed, so a graceful stop has no use.
            processes.end(found, by=signal.SIGKILL, timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _once(self, name: str, start: Callable[[], dict[str, str]]) -> dict[str, str]:
        result_file = self.folder / f"{name}.json"
        with _locked(self.folder / f"{name}.lock"):
            if not result_file.exists():
                try:
                    content = start()
                except Exception as error:
                    # The next test would wait as long for the same failure.
                    result_file.write_text(json.dumps({"failure": f"{name} can't be started: {error}"}))
                    raise
                result_file.write_text(json.dumps(content))
        content = json.loads(result_file.read_text())
        if "failure" in content:
            raise AssertionError(content["failure"])
        return content

    def _start_postgres(self) -> dict[str, str]:
        part = postgres.part(self.folder / "postgres", 0, _TEST_DATABASE_SETTINGS)
        return {"port": str(launch(part, self.folder).ports["sql"])}

    def _make_template(self) -> dict[str, str]:
        from orderfleet.store.migrate import migrate  # noqa: PLC0415 - most tests of the stack don't need it

        self._postgres_program("createdb", TEMPLATE)
        _run_in_thread(lambda: asyncio.run(migrate(self._database_url(TEMPLATE))))
        return {}

    def _start_temporal(self) -> dict[str, str]:
        program = provide(["temporal"])["temporal"]
        part = temporal_server.part(self.folder / "temporal", program, port=0, ui_port=None)
        return {"address": temporal_server.address(launch(part, self.folder).ports)}

    def _prepare_test_server(self) -> dict[str, str]:
        launcher = provide(["temporal-test-server"])["temporal-test-server"]
        archive = class_archive.path_for(launcher)
        if archive is not None and not archive.exists():
            _run_in_thread(lambda: class_archive.create(launcher, archive))
        if archive is None or not archive.exists():
            return {"program": str(launcher)}
        program = self.folder / "test-server"
        options = f"-XX:SharedArchiveFile={archive}"
        program.write_text(f'#!/bin/sh\nJDK_JAVA_OPTIONS="{options}" exec "{launcher}" "$@"\n')
        program.chmod(0o755)
        return {"program": str(program)}

    def _start_kubernetes(self) -> dict[str, str]:
        tools = provide(["kube-apiserver", "kubectl", "etcd"])
        store = launch(apiserver.etcd_part(self.folder / "etcd", tools["etcd"], port=0), self.folder)
        folder = self.folder / "kubernetes"
        flags = self._apiserver_flags
        server = apiserver.part(
            folder, tools["kube-apiserver"], apiserver.etcd_url(store.ports), port=0, more_flags=flags
        )
        launch(server, self.folder)
        apiserver.apply_definitions(tools["kubectl"], apiserver.kubeconfig(folder), self.folder)
        return {
            "kubectl": str(tools["kubectl"]),
            "kubeconfig": str(apiserver.kubeconfig(folder)),
            "store": apiserver.etcd_url(store.ports),
        }

    def _database_url(self, name: str) -> str:
        port = json.loads((self.folder / "postgres.json").read_text())["port"]
        return postgres.database_url({"sql": int(port)}, name)

    def _postgres_program(self, program: str, *arguments: str) -> None:
        port = json.loads((self.folder / "postgres.json").read_text())["port"]
        command = [str(postgres.programs() / program), "-h", "127.0.0.1", "-p", port, "-U", postgres.USER, *arguments]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr


def _run_in_thread(work: Callable[[], object]) -> None:
    """Run `work` in another thread: this one may have an event loop."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(work).result()


@contextmanager
def session() -> Iterator[Backing]:
    """Yield the services of a new session, and stop them; also stop those of sessions that were killed."""
    root = Path(tempfile.gettempdir()) / f"orderfleet-tests-{os.getuid()}"
    root.mkdir(mode=0o755, exist_ok=True)
    folder = root / uuid.uuid4().hex[:8]
    with ExitStack() as closing:
        # A session with a folder and without its lock counts as killed.
        with _locked(root / "lock"):
            _clear_killed_sessions(root)
            folder.mkdir(mode=0o755)
            closing.enter_context(_locked(folder / "owner.lock"))
        backing = Backing(folder)
        closing.callback(backing.stop)
        yield backing


def _clear_killed_sessions(root: Path) -> None:
    for folder in filter(Path.is_dir, root.iterdir()):
        with suppress(BlockingIOError), _locked(folder / "owner.lock", wait=False):
            Backing(folder).stop()


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a file's lock; the kernel frees it when the process dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
