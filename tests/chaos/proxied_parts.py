"""The parts of a stack in which every connection passes a proxy: how to start them, and where the proxies lead.

The parts are those of the local stack; only their addresses differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from chaos.schedule import API, APISERVER, CLIENTS, CONNECTIONS, ETCD, OPERATOR, POSTGRES, TEMPORAL
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import apiserver, postgres, temporal_server
from orderfleet_local.stack.assembly import EVERYWHERE
from orderfleet_local.stack.launch import Part, Ports
from orderfleet_local.stack.processes import Command
from orderfleet_local.stack.roles import API_PORT, MIGRATE, PRODUCT, ROLES
from support.tcp_proxy import TcpProxy

_PURPOSE = {POSTGRES: "sql", TEMPORAL: "grpc", ETCD: "client", APISERVER: "https", API: API_PORT}
"""The port of a server to which its proxies connect."""


class ProxiedParts:
    """The parts and the proxies between them.

    Args:
        folder: of the stack's data.
        settings: additional variables of every role.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.proxies = {between: TcpProxy("127.0.0.1", 0) for between in CONNECTIONS}
        self.ledger = folder / "ledger.db"
        """The ledger of the simulated provider and carrier."""
        self.kubeconfig = apiserver.kubeconfig(folder / "kubernetes")
        """Connects to the API server without a proxy."""
        self._folder = folder
        self._settings = settings
        self._tools = provide(["temporal", "etcd", "kube-apiserver", "kubectl"])
        self.kubectl = self._tools["kubectl"]

    def part(self, name: str, before: Ports) -> Part:
        """Return how to start a part, on its previous ports if it had any."""
        port = before.get(_PURPOSE.get(name, ""), 0)
        if name == POSTGRES:
            return postgres.part(self._folder / POSTGRES, port)
        if name == TEMPORAL:
            return temporal_server.part(self._folder / TEMPORAL, self._tools[TEMPORAL], port=port, ui_port=None)
        if name == ETCD:
            return apiserver.etcd_part(self._folder / ETCD, self._tools[ETCD], port=port)
        if name == APISERVER:
            through = apiserver.etcd_url({"client": self.proxies[APISERVER, ETCD].port})
            return apiserver.part(self._folder / "kubernetes", self._tools[APISERVER], through, port=port)
        return self._role(name, before)

    def migration(self, database_url: str) -> Command:
        """Return the job that creates the schema."""
        return Command((*PRODUCT, MIGRATE), self._folder, {**EVERYWHERE, "ORDERFLEET_DATABASE_URL": database_url})

    def point_proxies_to(self, name: str, ports: Ports) -> None:
        """Connect a server's proxies to its current ports."""
        for (_client, server), proxy in self.proxies.items():
            if server == name:
                proxy.to = ("127.0.0.1", ports[_PURPOSE[name]])

    def _role(self, name: str, before: Ports) -> Part:
        role = next(role for role in ROLES if role.name == name)
        environment = {**self._environment(name), "ORDERFLEET_SIMULATED_LEDGER": str(self.ledger), **self._settings}
        if name == OPERATOR:
            environment["KUBECONFIG"] = str(self._operator_kubeconfig())
        return role.part(self._folder, environment, {purpose: before.get(purpose, 0) for purpose in role.ports})

    def _environment(self, client: str) -> dict[str, str]:
        """The variables that connect a process to the servers, through the proxies of a client."""
        return {
            **EVERYWHERE,
            "ORDERFLEET_DATABASE_URL": postgres.database_url({"sql": self.proxies[client, POSTGRES].port}),
            "ORDERFLEET_TEMPORAL_ADDRESS": temporal_server.address({"grpc": self.proxies[client, TEMPORAL].port}),
        }

    @property
    def client_environment(self) -> dict[str, str]:
        """The environment of the product's commands, through the clients' proxies."""
        return {**os.environ, **self._environment(CLIENTS), **self._settings}

    def _operator_kubeconfig(self) -> Path:
        """Write the operator's kubeconfig, which leads through its proxy."""
        content = json.loads(self.kubeconfig.read_text())
        content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.proxies[OPERATOR, APISERVER].port}"
        path = self._folder / "kubeconfig-of-the-operator"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path

    @property
    def api_url(self) -> str:
        """The product's HTTP API, through the clients' proxy."""
        return f"http://127.0.0.1:{self.proxies[CLIENTS, API].port}"

    @property
    def apiserver_url(self) -> str:
        """The Kubernetes API, through the clients' proxy."""
        return f"https://127.0.0.1:{self.proxies[CLIENTS, APISERVER].port}"
