"""Prometheus and a collector in a stack: started if they are installed, and never needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orderfleet_local.cli.stack import links
from orderfleet_local.stack import lifecycle, optional_services, processes
from orderfleet_local.stack.errors import AlreadyRunning
from orderfleet_local.stack.launch import Part
from orderfleet_local.stack.optional_services import OPTIONAL_SERVICES
from orderfleet_local.stack.state import StackState
from stack.fake_stack import role
from support.own_prometheus import Prometheus
from support.polling import eventually_sync
from support.prometheus_programs import program
from support.stack_folders import stack_folder

# The tests share a stack, so they run in one worker.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("optional-services")]

ROLES = (role("well"),)
PROMETHEUS, COLLECTOR = OPTIONAL_SERVICES
FAKE_COLLECTOR = """#!{python}
import json, os, sys
endpoint = json.load(open(sys.argv[2]))["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
os.execv(sys.executable, [sys.executable, {receiver!r}, endpoint.rpartition(":")[2], os.devnull])
"""


def _broken(folder: Path, program: Path, *, port: int) -> Part:
    return replace(optional_services.collector_part(folder, program, port=port), name="broken")


@pytest.fixture(scope="module")
def running_stack() -> Iterator[tuple[StackState, list[str]]]:
    """Yield a stack with Prometheus, a fake collector and a service that fails, and the output of its start."""
    program("prometheus")
    with stack_folder() as folder:
        otelcol = folder / "fake-otelcol"
        receiver = str(Path(__file__).parents[1] / "support" / "otlp_receiver.py")
        otelcol.write_text(FAKE_COLLECTOR.format(python=sys.executable, receiver=receiver))
        otelcol.chmod(0o755)
        optional = (
            replace(PROMETHEUS, port=0),
            replace(COLLECTOR, find=lambda: otelcol, port=0),
            replace(COLLECTOR, name="broken", find=lambda: Path("/bin/false"), part=_broken, passed_to_roles=False),
            replace(COLLECTOR, name="absent", find=lambda: None),
        )
        lines: list[str] = []
        yield lifecycle.up(lines.append, folder=folder, roles=ROLES, optional=optional), lines


def test_prometheus_scrapes_the_parts_and_loads_the_rules(running_stack):
    state, _ = running_stack
    server = Prometheus(state.parts["prometheus"].ports["web"])
    eventually_sync(
        lambda: {found["metric"]["part"] for found in server.query("up == 1")} >= {"well", "temporal"}, seconds=60
    )
    groups = yaml.safe_load(optional_services.alert_rules().read_text())["groups"]
    config = json.loads((state.folder / "prometheus" / "prometheus.json").read_text())
    assert config["rule_files"] == [str(optional_services.alert_rules())]
    assert {found["metric"]["job"] for found in server.query("up")} == {"orderfleet", "temporal"}
    rules = json.loads(server.get("/api/v1/rules"))["data"]["groups"]
    assert {group["name"] for group in rules} == {group["name"] for group in groups}


def test_links_include_optional_services(running_stack):
    state, _ = running_stack
    found = links(state)
    assert found["alerts"] == f"{found['prometheus']}/alerts"
    assert found["traces"] == str(state.logs / "otelcol.log")


def test_roles_get_the_collectors_endpoint(running_stack):
    state, _ = running_stack
    (well,) = (found for found in processes.find(state.folder)["well"] if found.pid == state.parts["well"].pid)
    assert well.environ()["ORDERFLEET_OTLP_ENDPOINT"] == f"127.0.0.1:{state.parts['otelcol'].ports['otlp']}"


def test_missing_or_failing_service_is_reported_and_the_stack_is_complete(running_stack):
    state, lines = running_stack
    assert state.complete
    assert {"absent", "broken"}.isdisjoint(state.parts)
    assert sum(line.startswith("absent is not started: no traces are collected; ") for line in lines) == 1
    assert sum(line.startswith("the stack continues without broken: ") for line in lines) == 1


def test_killed_service_is_started_again_alone(running_stack):
    state, _ = running_stack
    for found in processes.find(state.folder)["prometheus"]:
        found.kill()
        eventually_sync(lambda found=found: not processes.alive(found))
    again = lifecycle.up(folder=state.folder, roles=ROLES, optional=OPTIONAL_SERVICES[:1])
    assert again.parts["prometheus"].pid != state.parts["prometheus"].pid
    assert again.parts["well"] == state.parts["well"]
    with pytest.raises(AlreadyRunning):
        lifecycle.up(folder=state.folder, roles=ROLES, optional=OPTIONAL_SERVICES[:1])
    restarted = lifecycle.restart("prometheus", folder=state.folder, roles=ROLES)
    assert restarted.parts["prometheus"].pid != again.parts["prometheus"].pid
