"""Whether a part that runs answers what it is there for.

`status` shows it and `lifecycle` restarts what doesn't. A process can run, and listen, and answer nothing: one
that is stopped, or a Temporal whose database connections are broken. It must never change anything.
"""

from __future__ import annotations

from pathlib import Path

from orderfleet.stack import apiserver, etcd, postgres, prometheus, temporal_server
from orderfleet.stack.apiserver import APISERVER
from orderfleet.stack.etcd import ETCD
from orderfleet.stack.launch import get
from orderfleet.stack.processes import POSTGRES
from orderfleet.stack.prometheus import PROMETHEUS
from orderfleet.stack.state import PartState, kubernetes_folder
from orderfleet.stack.temporal_server import TEMPORAL

_READY = {POSTGRES: postgres.ready, ETCD: etcd.ready, PROMETHEUS: prometheus.ready}
_NO_ANSWER = "it doesn't answer"


def problem(folder: Path, name: str, part: PartState) -> str | None:
    """Return why the running part `name` of the stack in `folder` answers nothing; None if it answers.

    A process of the product is asked for `/healthz`: `/readyz` depends on what it needs.
    """
    if name == TEMPORAL:
        return temporal_server.problem(part.ports)
    if name == APISERVER:
        # Not `/readyz`, which depends on etcd.
        fine = apiserver.responds(kubernetes_folder(folder), part.ports, "/livez/ping")
    elif name in _READY:
        fine = _READY[name](part.ports)
    else:
        fine = part.url is None or get(f"{part.url}/healthz", timeout=3) is not None
    return None if fine else _NO_ANSWER
