"""A real Kubernetes API server as a part of the stack, without nodes and controllers.

Custom resources, validation, RBAC, watches and status work as in any cluster; pods are accepted but never run, and
namespaces are never cleaned up. It must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

from orderfleet_local.stack import certificates, ports
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import Command

APISERVER = "kube-apiserver"
DEFAULT_PORT = 16443
CONTEXT = "orderfleet-local"


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
    folder: Path, program: Path, etcd_url: str, *, port: int = DEFAULT_PORT, more_flags: tuple[str, ...] = ()
) -> Part:
    """Return the part.

    Args:
        folder: of its certificates and kubeconfig.
        program: kube-apiserver.
        etcd_url: where it stores its objects.
        port: wanted port; 0: any.
        more_flags: in addition to those of the stack.
    """
    pki = folder / "pki"

    def prepare(assigned: Ports) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_kubeconfig(kubeconfig(folder), certificates.ensure(pki), assigned["https"])

    def command(assigned: Ports) -> Command:
        return Command((str(program), *_flags(pki, etcd_url, assigned["https"]), *more_flags), folder)

    return Part(
        name=APISERVER,
        ports={"https": port},
        command=command,
        ready=lambda assigned: responds(folder, assigned, "/readyz"),
        prepare=prepare,
    )


def _flags(pki: Path, etcd_url: str, port: int) -> tuple[str, ...]:
    return (
        f"--etcd-servers={etcd_url}",
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
