"""etcd as a part of the stack: the database of the Kubernetes API server.

It must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import Command

ETCD = "etcd"
DEFAULT_PORT = 12379


def url(assigned: Ports) -> str:
    """Return the client URL of an etcd with the ports `assigned`."""
    return f"http://{ports.HOST}:{assigned['client']}"


def ready(assigned: Ports) -> bool:
    """Return whether an etcd with the ports `assigned` is healthy."""
    return answers(f"{url(assigned)}/health")


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return the part, with its data in `folder`."""

    def command(assigned: Ports) -> Command:
        # There are no peers, but etcd requires a peer listener: port 0 takes any.
        peer = f"http://{ports.HOST}:0"
        return Command(
            (
                *(str(program), "--data-dir", str(folder / "data"), "--log-level", "warn"),
                *("--listen-client-urls", url(assigned), "--advertise-client-urls", url(assigned)),
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
        ready=ready,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
    )
