"""The operator settles after any sequence of events: a bounded number of reconciles after the last change, then no more
writes, also after a restart and after old events are delivered again."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from model.lifecycle_model import TRANSITIONS
from model.operator_environment import OperatorEnvironment
from model.seeds import name_seed_on_failure, seeds
from orderfleet.domain.status import PaymentStatus, Step
from support.factories import ELSEWHERE_JSON
from support.observed_orders import ENDED, FINALIZER, body, order, record

ENDS = {"shipped", "delivered", "canceled", "failed"}
BOUND = 12
"""Reconciles after the last change, and writes in them: finalizer, status, a later detail, removal of the finalizer,
and one that conflicts with another client's change."""

OTHERS = "other.example/finalizer"

payments = st.sampled_from([None, *PaymentStatus])
changes = st.sampled_from(
    [
        {"approved": True},
        {"cancel": True},
        {"address": ELSEWHERE_JSON},
        {"deletionPolicy": "Orphan"},
        # A newer API server may accept it, or an older one have stored it.
        {"deletionPolicy": "Someday"},
        {"items": "nonsense"},
    ]
)
parts = st.sampled_from(["kubernetes", "temporal", "store"])


class OperatorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.version = 0
        self.objects = 1

    @initialize(
        held=st.booleans(),
        has_other_finalizer=st.booleans(),
        approved=st.booleans(),
        cancel=st.booleans(),
        orphan=st.booleans(),
        before=st.sampled_from(["nothing", "nothing", "foreign workflow", "foreign record", "older", "over HTTP"]),
    )
    def begin(self, held, has_other_finalizer, approved, cancel, orphan, before) -> None:
        policy = {"deletionPolicy": "Orphan"} if orphan else {}
        policy |= {"finalizers": [*([FINALIZER] if held else []), OTHERS]} if has_other_finalizer else {}
        self.env = OperatorEnvironment(body(has_finalizer=held, approved=approved, cancel=cancel, **policy), self.loop)
        self.env.foreign_workflow = before == "foreign workflow"
        owners = {
            "foreign record": {"owner": "other/o-1", "owner_uid": "theirs"},
            "older": {"owner_uid": "older", "declared": 5, "declared_by": "older"},
            "over HTTP": {"owner": "", "owner_uid": ""},
        }
        self.owner = owners.get(before)
        if self.owner is not None:
            self.recorded(Step.MANUAL_REVIEW, None, "", **self.owner)

    def recorded(self, step, payment, rejected, **more) -> None:
        self.version += 1
        self.env.record = record(step, version=self.version, payment=payment, rejected=rejected, **more)
        self.env.feed_records.append(self.env.record)

    @rule(change=changes)
    def edit(self, change) -> None:
        env = self.env
        if env.body is not None and "ended" not in env.body["status"]:
            env.change({"spec": change}, edit=True)

    @rule(change=st.one_of(changes, st.sampled_from(["delete", "other client"])), watched=st.booleans())
    def reconcile_during_an_edit(self, change, watched) -> None:
        """The watch may deliver the change before the response of the call that it interrupts."""

        def change_object() -> None:
            if self.env.body is None:
                return
            if change == "delete":
                self.delete()
            elif change == "other client":
                self.other_client_writes()
            else:
                self.edit(change)
            if watched and self.env.body is not None:
                self.env.cache.upsert(self.env.body)

        self.env.during_next_call = change_object
        self.env.reconcile()
        self.env.during_next_call = None

    @precondition(lambda self: self.env.body is None)
    @rule(same=st.booleans(), data=st.data())
    def apply_again(self, same, data) -> None:
        """Create another object under the old name, with the same content or another."""
        self.objects += 1
        more = {} if same else {"items": [{"sku": "b", "qty": 1}]}
        self.env.apply(body(uid=f"uid-{self.objects}", has_finalizer=data.draw(st.booleans()), **more))

    @precondition(lambda self: self.env.body is not None)
    @rule()
    def other_client_writes(self) -> None:
        self.env.change({"metadata": {"labels": {"team": "blue"}}})

    @precondition(lambda self: self.env.body is not None)
    @rule(name=st.sampled_from([FINALIZER, ENDED, OTHERS]))
    def other_client_removes_marker(self, name) -> None:
        """Remove the operator's own marker, or another client's."""
        if name in {FINALIZER, OTHERS}:
            others = [each for each in self.env.body["metadata"]["finalizers"] if each != name]
            self.env.change({"metadata": {"finalizers": others or None}})
        else:
            self.env.change({"metadata": {"labels": {ENDED: None}}})

    @precondition(lambda self: self.env.body is not None)
    @rule()
    def delete(self) -> None:
        deleted = {"deletionTimestamp": "2026-11-01T00:00:00Z"}
        self.env.change({"metadata": deleted}, edit="deletionTimestamp" not in self.env.body["metadata"])

    @rule(rejected=st.sampled_from(["", "address: the package is being dispatched"]), payment=payments, data=st.data())
    def workflow_advances(self, rejected, payment, data) -> None:
        env, now = self.env, self.env.record
        if now is None and not env.running:
            return
        step = str(now.status.step) if now else "receive"
        following = data.draw(st.sampled_from([step, *TRANSITIONS[step].split()])) if now else step
        signaled = env.declared
        more = dict(self.owner or {})
        if signaled is not None:
            more |= {"declared": signaled.generation, "declared_by": signaled.owner_uid}
        self.recorded(Step(following), payment, rejected, canceled=following == "canceled", **more)
        if following in ENDS:
            env.running = False

    @rule()
    def workflow_is_terminated(self) -> None:
        self.env.running = False

    @rule(part=parts)
    def toggle_availability(self, part) -> None:
        self.env.unavailable ^= {part}

    @rule(part=st.sampled_from(["kubernetes", "temporal"]))
    def lose_next_response(self, part) -> None:
        self.env.lost_responses.add(part)

    @rule(data=st.data())
    def watch_delivers(self, data) -> None:
        """Old versions too, and repeatedly."""
        self.env.cache.upsert(data.draw(st.sampled_from(self.env.watch_events)))

    @precondition(lambda self: self.env.feed_records)
    @rule(data=st.data())
    def feed_delivers(self, data) -> None:
        self.env.cache.apply_record(data.draw(st.sampled_from(self.env.feed_records)))

    @rule(seconds=st.sampled_from([0.0, 0.3, 10.0]))
    def reconcile(self, seconds) -> None:
        self.env.now += seconds
        self.env.reconcile()

    @rule()
    def operator_restarts(self) -> None:
        self.env.restart()

    def teardown(self) -> None:
        try:
            if hasattr(self, "env"):
                self.check_settles()
        finally:
            self.loop.close()

    def check_settles(self) -> None:
        env = self.env
        env.unavailable, env.lost_responses = set(), set()
        if not env.running:
            # The orphan sweep would report the closed workflow; without one, a restart makes the operator notice.
            env.restart()
        env.writes.clear()
        assert env.settle() <= BOUND
        assert env.writes.total() <= BOUND, env.writes

        env.writes.clear()
        settled = env.body
        for version in env.watch_events[-3:]:
            if env.body is not None:
                env.cache.upsert(version)
        for version in env.feed_records:
            env.cache.apply_record(version)
        env.now += 100
        env.settle()
        env.restart()
        env.settle()
        env.now += 1000
        env.settle()
        assert not env.writes, (env.writes, settled, env.body)
        if settled is not None:
            self.check_status(settled)

    def check_status(self, settled) -> None:
        if "deletionTimestamp" in settled["metadata"]:
            # It has another finalizer only, or a deletion policy that this operator doesn't know.
            held = FINALIZER in settled["metadata"]["finalizers"]
            assert not held or settled["spec"].get("deletionPolicy") == "Someday"
            return
        shown = {each["type"]: each for each in settled["status"]["conditions"]}
        assert [shown[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled")].count("True") == 1
        expected_order, recorded = order(), self.env.record
        unreadable = settled["spec"].get("deletionPolicy") == "Someday" or settled["spec"]["items"] == "nonsense"
        if unreadable and not settled["status"].get("ended"):
            assert shown["Stalled"]["status"] == "True", shown
            return
        conflicting = shown.get("Accepted", {}).get("reason") == "Conflict"
        assert conflicting or recorded is None or settled["status"]["step"] == recorded.status.step
        if conflicting or settled["status"].get("ended"):
            assert FINALIZER not in settled["metadata"]["finalizers"]
        if settled["status"].get("ended"):
            assert settled["metadata"]["labels"][ENDED] == "true"
            assert settled["status"]["observedGeneration"] <= settled["metadata"]["generation"]
        assert expected_order.order_id == settled["status"]["orderId"]


QUICK = settings(
    max_examples=200,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
RANDOM = settings(QUICK, derandomize=False, max_examples=50, stateful_step_count=40)
SECONDS, SLOW_SECONDS = 3.0, 30.0
"""How long random examples run in each run, and in each of the slow tests."""


def test_operator_settles_after_fixed_events() -> None:
    run_state_machine_as_test(OperatorMachine, settings=QUICK)


def test_operator_settles_after_random_events(pytestconfig: pytest.Config) -> None:
    play_random(pytestconfig, SECONDS)


@pytest.mark.slow
def test_operator_settles_after_many_random_events(pytestconfig: pytest.Config) -> None:
    play_random(pytestconfig, SLOW_SECONDS)


def play_random(config: pytest.Config, seconds: float) -> None:
    for number in seeds(config, seconds):
        played = seed(number)(type("Operator", (OperatorMachine,), {}))
        with name_seed_on_failure(number):
            run_state_machine_as_test(played, settings=RANDOM)
