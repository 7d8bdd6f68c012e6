"""etcd as a part of the stack: what the Kubernetes API server keeps its objects in.

The stack and the test harness start it. It must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import Command

ETCD = "etcd"
DEFAULT_PORT = 12379


def url(given: Ports) -> str:
    """Return the client address of an etcd that got the ports `given`."""
    return f"http://{ports.HOST}:{given['client']}"


def ready(given: Ports) -> bool:
    """Whether an etcd that got the ports `given` answers."""
    return answers(f"{url(given)}/health")


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return etcd with its data in `folder`."""

    def command(given: Ports) -> Command:
        # There are no peers: port 0 lets etcd take any for the listener it insists on.
        peer = f"http://{ports.HOST}:0"
        return Command(
            (
                *(str(program), "--data-dir", str(folder / "data"), "--log-level", "warn"),
                *("--listen-client-urls", url(given), "--advertise-client-urls", url(given)),
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
