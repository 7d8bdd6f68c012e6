"""The product's processes in the stack, as data: arguments, environment, needs, ports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.apiserver import APISERVER, CRD
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import POSTGRES, Command
from orderfleet_local.stack.temporal_server import TEMPORAL

MIGRATE = "migrate"
PRODUCT = (sys.executable, "-m", "orderfleet")

HEALTH_PORT = "ORDERFLEET_HEALTH_PORT"
API_PORT = "ORDERFLEET_API_PORT"
SDK_METRICS_PORT = "ORDERFLEET_TEMPORAL_METRICS_PORT"

_READY_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the product.

    Attributes:
        name: of the part.
        arguments: of the command.
        needs: names of the parts and jobs to start before it.
        ports: wanted ports by the environment variable that sets them. The health port serves `/metrics`.
        serves: variable of the port that serves `/readyz`.
        environment: in addition to that of all roles.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    ports: Mapping[str, int]
    serves: str = HEALTH_PORT
    environment: Mapping[str, str] = field(default_factory=dict)

    def url(self, assigned: Ports) -> str:
        """Return the address of its HTTP port."""
        return f"http://{ports.HOST}:{assigned[self.serves]}"

    def part(self, folder: Path, shared: Mapping[str, str], wanted: Ports) -> Part:
        """Return the part of this role.

        Args:
            folder: its working folder.
            shared: environment of all roles.
            wanted: ports by variable.
        """

        def command(assigned: Ports) -> Command:
            port_settings = {variable: str(port) for variable, port in assigned.items()}
            environment = {**shared, **self.environment, **port_settings}
            return Command(self.arguments, folder, environment)

        return Part(
            name=self.name,
            ports=wanted,
            command=command,
            ready=lambda assigned: answers(f"{self.url(assigned)}/readyz"),
            timeout=_READY_TIMEOUT,
        )


_STORE_AND_TEMPORAL = (POSTGRES, MIGRATE, TEMPORAL)

ROLES: tuple[Role, ...] = (
    Role(
        name="orders-worker",
        arguments=(*PRODUCT, "worker", "orders"),
        needs=_STORE_AND_TEMPORAL,
        ports={HEALTH_PORT: 8011, SDK_METRICS_PORT: 8021},
    ),
    Role(
        name="shipping-worker",
        arguments=(*PRODUCT, "worker", "shipping"),
        needs=_STORE_AND_TEMPORAL,
        ports={HEALTH_PORT: 8012, SDK_METRICS_PORT: 8022},
    ),
    Role(
        name="operator",
        arguments=(*PRODUCT, "operator"),
        needs=(*_STORE_AND_TEMPORAL, APISERVER, CRD),
        ports={HEALTH_PORT: 8010},
    ),
    Role(
        name="api",
        arguments=(*PRODUCT, "api"),
        needs=_STORE_AND_TEMPORAL,
        ports={API_PORT: 8000, HEALTH_PORT: 8013},
        serves=API_PORT,
    ),
)
