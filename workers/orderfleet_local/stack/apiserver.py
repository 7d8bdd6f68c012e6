"""A real Kubernetes API server as a part of the stack, with its database, etcd, and the chart's definitions.

There are no nodes and controllers. Custom resources, validation, RBAC, watches and status work as in any cluster; pods
are accepted but never run, and namespaces are never cleaned up. It must never listen anywhere but on 127.0.0.1, and
must have no definition of its own.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from pathlib import Path

from orderfleet_local.stack import certificates, paths, ports
from orderfleet_local.stack.errors import PartFailed, StackError
from orderfleet_local.stack.launch import Part, Ports, answers, run_job
from orderfleet_local.stack.processes import Command

APISERVER = "kube-apiserver"
ETCD = "etcd"
CRD = "crd"
DEFAULT_PORT = 16443
DEFAULT_ETCD_PORT = 12379
CONTEXT = "orderfleet-local"

_ESTABLISHED_SECONDS = 30


def kubeconfig(folder: Path) -> Path:
    """Return the path of the administrator's kubeconfig of the server with its files in `folder`."""
    return folder / "kubeconfig"


def responds(folder: Path, assigned: Ports, path: str) -> bool:
    """Return whether a server answers a GET with 200.

    Args:
        folder: of the server's files.
        assigned: the ports of the server.
        path: to get.
    """
    pki = folder / "pki"
    # Each call creates the context, because the files don't exist yet when the part is described.
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return answers(f"https://{ports.HOST}:{assigned['https']}{path}", context)


def part(
    folder: Path, program: Path, store_url: str, *, port: int = DEFAULT_PORT, more_flags: tuple[str, ...] = ()
) -> Part:
    """Return the part.

    Args:
        folder: of its certificates and kubeconfig.
        program: kube-apiserver.
        store_url: where it stores its objects.
        port: wanted port; 0: any.
        more_flags: in addition to those of the stack.
    """
    pki = folder / "pki"

    def prepare(assigned: Ports) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_kubeconfig(kubeconfig(folder), certificates.ensure(pki), assigned["https"])

    def command(assigned: Ports) -> Command:
        return Command((str(program), *_flags(pki, store_url, assigned["https"]), *more_flags), folder)

    return Part(
        name=APISERVER,
        ports={"https": port},
        command=command,
        ready=lambda assigned: responds(folder, assigned, "/readyz"),
        prepare=prepare,
    )


def _flags(pki: Path, store_url: str, port: int) -> tuple[str, ...]:
    return (
        f"--etcd-servers={store_url}",
        f"--bind-address={ports.HOST}",
        f"--secure-port={port}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/server.crt",
        f"--tls-private-key-file={pki}/server.key",
        f"--service-account-key-file={pki}/accounts.crt",
        f"--service-account-signing-key-file={pki}/accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        # No controller creates service accounts, and there is no endpoint to publish.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        "--enable-priority-and-fairness=false",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    )


def _write_kubeconfig(path: Path, files: certificates.Certificates, port: int) -> None:
    def inline(name: str) -> str:
        return base64.b64encode(files.file(name).read_bytes()).decode()

    # JSON, which is valid YAML and needs no library.
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {"server": f"https://{ports.HOST}:{port}", "certificate-authority-data": inline("ca.crt")},
            }
        ],
        "users": [
            {
                "name": "admin",
                "user": {"client-certificate-data": inline("admin.crt"), "client-key-data": inline("admin.key")},
            }
        ],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin"}}],
    }
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(content, indent=2))
    new.replace(path)


def etcd_url(assigned: Ports) -> str:
    """Return the client URL of an etcd with the ports `assigned`."""
    return f"http://{ports.HOST}:{assigned['client']}"


def etcd_ready(assigned: Ports) -> bool:
    """Return whether an etcd with the ports `assigned` is healthy."""
    return answers(f"{etcd_url(assigned)}/health")


def etcd_part(folder: Path, program: Path, *, port: int = DEFAULT_ETCD_PORT) -> Part:
    """Return etcd as a part, with its data in `folder`."""

    def command(assigned: Ports) -> Command:
        # There are no peers, but etcd requires a peer listener: port 0 takes any.
        peer = f"http://{ports.HOST}:0"
        return Command(
            (
                *(str(program), "--data-dir", str(folder / "data"), "--log-level", "warn"),
                *("--listen-client-urls", etcd_url(assigned), "--advertise-client-urls", etcd_url(assigned)),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
                "--unsafe-no-fsync",
            ),
            folder,
        )

    return Part(
        name=ETCD,
        ports={"client": port},
        command=command,
        ready=etcd_ready,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
    )


def definitions() -> Path:
    """Return the folder of the chart's custom resource definitions."""
    return paths.checkout() / "charts" / "orderfleet" / "files" / "crds"


def apply_definitions(kubectl: Path, kubeconfig: Path, folder: Path, canceled: threading.Event | None = None) -> None:
    """Apply the definitions and wait until the server serves them.

    Args:
        kubectl: the program.
        kubeconfig: of the server.
        folder: of the stack, for the log.
        canceled: set when it needn't finish.

    Raises:
        StackError: there are no definitions, or the server rejected one; the message is kubectl's.
        Canceled: `canceled` was set.
    """
    files = definitions()
    if not files.is_dir():
        raise StackError(f"{files} is missing; the stack runs from a checkout")
    # `--force-conflicts` lets the checkout's definition replace one that was edited on the server.
    _kubectl(("apply", "--server-side", "--force-conflicts", "-f", str(files)), kubectl, kubeconfig, folder, canceled)
    wait = ("wait", "--for=condition=Established", f"--timeout={_ESTABLISHED_SECONDS}s", "-f", str(files))
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    while True:
        try:
            return _kubectl(wait, kubectl, kubeconfig, folder, canceled)
        except PartFailed:
            # kubectl fails immediately if the server has not written the definition's first conditions yet.
            if time.monotonic() > deadline:
                raise


def _kubectl(
    arguments: tuple[str, ...], kubectl: Path, kubeconfig: Path, folder: Path, canceled: threading.Event | None
) -> None:
    run_job(CRD, Command((str(kubectl), "--kubeconfig", str(kubeconfig), *arguments), folder), folder, canceled)
