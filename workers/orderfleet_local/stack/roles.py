"""The product's own processes in the stack, as data: arguments, environment, needs, ports.

`assembly` turns them into parts. It must never start anything itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.crd import CRD
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import POSTGRES, Command
from orderfleet_local.stack.temporal_server import TEMPORAL

MIGRATE = "migrate"
PRODUCT = (sys.executable, "-m", "orderfleet")

HEALTH_PORT = "ORDERFLEET_HEALTH_PORT"
API_PORT = "ORDERFLEET_API_PORT"
SDK_METRICS_PORT = "ORDERFLEET_TEMPORAL_METRICS_PORT"

_SECONDS_TO_GET_READY = 60.0


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the product.

    `ports` are the wanted ports by the environment variable that sets them; the one named
    `serves` is the role's address and answers `/readyz`. The health port answers `/metrics`. `needs` are names of
    parts and jobs.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...]
    ports: Mapping[str, int]
    serves: str = HEALTH_PORT
    environment: Mapping[str, str] = field(default_factory=dict)

    def url(self, given: Ports) -> str:
        """Return the address of its HTTP port."""
        return f"http://{ports.HOST}:{given[self.serves]}"

    def part(self, folder: Path, shared: Mapping[str, str], wanted: Ports) -> Part:
        """Return the role as a part that runs in `folder` with the `shared` environment."""

        def command(given: Ports) -> Command:
            listening = {variable: str(port) for variable, port in given.items()}
            environment = {**shared, **self.environment, **listening}
            return Command(self.arguments, folder, environment)

        return Part(
            name=self.name,
            ports=wanted,
            command=command,
            ready=lambda given: answers(f"{self.url(given)}/readyz"),
            bound=_SECONDS_TO_GET_READY,
        )


_RECORD_AND_TEMPORAL = (POSTGRES, MIGRATE, TEMPORAL)

ROLES: tuple[Role, ...] = (
    Role(
        name="orders-worker",
        arguments=(*PRODUCT, "worker", "orders"),
        needs=_RECORD_AND_TEMPORAL,
        ports={HEALTH_PORT: 8011, SDK_METRICS_PORT: 8021},
    ),
    Role(
        name="shipping-worker",
        arguments=(*PRODUCT, "worker", "shipping"),
        needs=_RECORD_AND_TEMPORAL,
        ports={HEALTH_PORT: 8012, SDK_METRICS_PORT: 8022},
    ),
    Role(
        name="operator",
        arguments=(*PRODUCT, "operator"),
        needs=(*_RECORD_AND_TEMPORAL, APISERVER, CRD),
        ports={HEALTH_PORT: 8010},
    ),
    Role(
        name="api",
        arguments=(*PRODUCT, "api"),
        needs=_RECORD_AND_TEMPORAL,
        ports={API_PORT: 8000, HEALTH_PORT: 8013},
        serves=API_PORT,
    ),
)
