"""Prometheus and a collector in a stack: there where their programs are at hand, and never needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pretend_stack import eventually, role, stack_folder

from orderfleet_local.cli.stack import links
from orderfleet_local.stack import collector, lifecycle, processes, prometheus
from orderfleet_local.stack.errors import AlreadyRunning
from orderfleet_local.stack.launch import Part
from orderfleet_local.stack.optional_services import OPTIONAL_SERVICES
from orderfleet_local.stack.state import StackState
from own_prometheus import Prometheus
from prometheus_programs import program

# One stack for all of them, so one worker for all of them.
pytestmark = pytest.mark.xdist_group("offers")

ROLES = (role("well"),)
PROMETHEUS, COLLECTOR = OPTIONAL_SERVICES
PRETENDED_COLLECTOR = """#!{python}
import json, os, sys
endpoint = json.load(open(sys.argv[2]))["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
os.execv(sys.executable, [sys.executable, {receiver!r}, endpoint.rpartition(":")[2], os.devnull])
"""


def _broken(folder: Path, program: Path, *, port: int) -> Part:
    return replace(collector.part(folder, program, port=port), name="broken")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[StackState, list[str]]]:
    """A stack with Prometheus, a pretended collector and an offer that fails, and what its start said."""
    program("prometheus")
    with stack_folder() as folder:
        otelcol = folder / "pretended-otelcol"
        receiver = str(Path(__file__).parents[1] / "otlp_receiver.py")
        otelcol.write_text(PRETENDED_COLLECTOR.format(python=sys.executable, receiver=receiver))
        otelcol.chmod(0o755)
        offers = (
            replace(PROMETHEUS, port=0),
            replace(COLLECTOR, find=lambda: otelcol, port=0),
            replace(COLLECTOR, name="broken", find=lambda: Path("/bin/false"), part=_broken, passed_to_roles=False),
            replace(COLLECTOR, name="absent", find=lambda: None),
        )
        said: list[str] = []
        yield lifecycle.up(said.append, folder=folder, roles=ROLES, offers=offers), said


def test_prometheus_scrapes_what_runs_and_knows_the_rules(running):
    state, _ = running
    asked = Prometheus(state.parts["prometheus"].ports["web"])
    eventually(
        lambda: {found["metric"]["part"] for found in asked.query("up == 1")} >= {"well", "temporal"}, seconds=60
    )
    groups = yaml.safe_load(prometheus.rules().read_text())["groups"]
    config = json.loads((state.folder / "prometheus" / "prometheus.json").read_text())
    assert config["rule_files"] == [str(prometheus.rules())]
    assert {found["metric"]["job"] for found in asked.query("up")} == {"orderfleet", "temporal"}
    rules = json.loads(asked.get("/api/v1/rules"))["data"]["groups"]
    assert {group["name"] for group in rules} == {group["name"] for group in groups}


def test_links_say_where_they_are(running):
    state, _ = running
    found = links(state)
    assert found["alerts"] == f"{found['prometheus']}/alerts"
    assert found["traces"] == str(state.logs / "otelcol.log")


def test_roles_are_told_where_to_send_traces(running):
    state, _ = running
    (well,) = (found for found in processes.find(state.folder)["well"] if found.pid == state.parts["well"].pid)
    assert well.environ()["ORDERFLEET_OTLP_ENDPOINT"] == f"127.0.0.1:{state.parts['otelcol'].ports['otlp']}"


def test_what_is_missing_or_fails_is_said_in_a_line_and_the_stack_is_whole(running):
    state, said = running
    assert state.complete
    assert {"absent", "broken"}.isdisjoint(state.parts)
    assert sum(line.startswith("absent isn't offered: no traces are taken; ") for line in said) == 1
    assert sum(line.startswith("the stack goes on without broken: ") for line in said) == 1


def test_an_offer_that_was_killed_is_started_again_alone_and_can_be_restarted(running):
    state, _ = running
    for found in processes.find(state.folder)["prometheus"]:
        found.kill()
        eventually(lambda found=found: not processes.alive(found))
    again = lifecycle.up(folder=state.folder, roles=ROLES, offers=OPTIONAL_SERVICES[:1])
    assert again.parts["prometheus"].pid != state.parts["prometheus"].pid
    assert again.parts["well"] == state.parts["well"]
    with pytest.raises(AlreadyRunning):
        lifecycle.up(folder=state.folder, roles=ROLES, offers=OPTIONAL_SERVICES[:1])
    restarted = lifecycle.restart("prometheus", folder=state.folder, roles=ROLES)
    assert restarted.parts["prometheus"].pid != again.parts["prometheus"].pid
