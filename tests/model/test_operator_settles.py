"""Whatever an Order, its workflow, its record and the parts between them go through, and in whatever order
the news of it come, the operator settles: a bounded number of reconciles after the last change, then no
more writes, also when it is started anew or hears old news again."""

from __future__ import annotations

import asyncio

import pytest
from declared import ELSEWHERE, ENDED, FINALIZER, body, order, record
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from lifecycle_model import MOVES
from operator_world import World
from seeds import seeds, told

from orderfleet.domain.status import PaymentStatus, Step

ENDS = {"shipped", "delivered", "canceled", "failed"}
BOUND = 12
"""Reconciles after the last change, and writes to the API server in them: hold, status, a detail later,
release, and one that somebody else's change has made in vain."""

OTHERS = "somebody.else/hold"

payments = st.sampled_from([None, *PaymentStatus])
changes = st.sampled_from(
    [
        {"approved": True},
        {"cancel": True},
        {"address": ELSEWHERE},
        {"deletionPolicy": "Orphan"},
        # As a newer API server might take it, or an older one have stored it.
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
        has_finalizer=st.booleans(),
        held_by_others=st.booleans(),
        approved=st.booleans(),
        cancel=st.booleans(),
        orphan=st.booleans(),
        before=st.sampled_from(["nothing", "nothing", "foreign workflow", "foreign record", "older", "over HTTP"]),
    )
    def begin(self, has_finalizer, held_by_others, approved, cancel, orphan, before) -> None:
        policy = {"deletionPolicy": "Orphan"} if orphan else {}
        policy |= {"finalizers": [*([FINALIZER] if has_finalizer else []), OTHERS]} if held_by_others else {}
        self.world = World(body(has_finalizer=has_finalizer, approved=approved, cancel=cancel, **policy), self.loop)
        self.world.foreign = before == "foreign workflow"
        owners = {
            "foreign record": {"owner": "other/o-1", "owner_uid": "theirs"},
            "older": {"owner_uid": "older", "declared": 5, "declared_by": "older"},
            "over HTTP": {"owner": "", "owner_uid": ""},
        }
        self.owner = owners.get(before)
        if self.owner is not None:
            self.recorded(Step.MANUAL_REVIEW, None, "", **self.owner)

    def recorded(self, step, payment, refused, **more) -> None:
        self.version += 1
        self.world.record = record(step, version=self.version, payment=payment, refused=refused, **more)
        self.world.told_records.append(self.world.record)

    @rule(change=changes)
    def edit(self, change) -> None:
        world = self.world
        if world.body is not None and "ended" not in world.body["status"]:
            world.change({"spec": change}, edit=True)

    @rule(change=st.one_of(changes, st.sampled_from(["delete", "somebody else"])), told=st.booleans())
    def reconcile_in_the_midst_of_an_edit(self, change, told) -> None:
        """The news of it may come before the answer of the call that it came between."""

        def happens() -> None:
            if self.world.body is None:
                return
            if change == "delete":
                self.delete()
            elif change == "somebody else":
                self.somebody_else_writes()
            else:
                self.edit(change)
            if told and self.world.body is not None:
                self.world.cache.upsert(self.world.body)

        self.world.meanwhile = happens
        self.world.reconcile()
        self.world.meanwhile = None

    @precondition(lambda self: self.world.body is None)
    @rule(same=st.booleans(), data=st.data())
    def apply_again(self, same, data) -> None:
        """Another object under the old name, with the same order in it or another."""
        self.objects += 1
        more = {} if same else {"items": [{"sku": "b", "qty": 1}]}
        self.world.apply(body(uid=f"uid-{self.objects}", has_finalizer=data.draw(st.booleans()), **more))

    @precondition(lambda self: self.world.body is not None)
    @rule()
    def somebody_else_writes(self) -> None:
        self.world.change({"metadata": {"labels": {"team": "blue"}}})

    @precondition(lambda self: self.world.body is not None)
    @rule(name=st.sampled_from([FINALIZER, ENDED, OTHERS]))
    def somebody_meddles(self, name) -> None:
        """Take away the operator's own marks, or another's."""
        if name in {FINALIZER, OTHERS}:
            others = [each for each in self.world.body["metadata"]["finalizers"] if each != name]
            self.world.change({"metadata": {"finalizers": others or None}})
        else:
            self.world.change({"metadata": {"labels": {ENDED: None}}})

    @precondition(lambda self: self.world.body is not None)
    @rule()
    def delete(self) -> None:
        deleted = {"deletionTimestamp": "2026-11-01T00:00:00Z"}
        self.world.change({"metadata": deleted}, edit="deletionTimestamp" not in self.world.body["metadata"])

    @rule(refused=st.sampled_from(["", "address: the package is being dispatched"]), payment=payments, data=st.data())
    def workflow_moves(self, refused, payment, data) -> None:
        world, now = self.world, self.world.record
        if now is None and not world.runs:
            return
        step = str(now.status.step) if now else "receive"
        following = data.draw(st.sampled_from([step, *MOVES[step].split()])) if now else step
        heard = world.declared
        more = dict(self.owner or {})
        if heard is not None:
            more |= {"declared": heard.generation, "declared_by": heard.owner_uid}
        self.recorded(Step(following), payment, refused, canceled=following == "canceled", **more)
        if following in ENDS:
            world.runs = False

    @rule()
    def workflow_is_terminated(self) -> None:
        self.world.runs = False

    @rule(part=parts)
    def goes_away_or_comes_back(self, part) -> None:
        self.world.away ^= {part}

    @rule(part=st.sampled_from(["kubernetes", "temporal"]))
    def next_answer_is_lost(self, part) -> None:
        self.world.answers_lost.add(part)

    @rule(data=st.data())
    def watch_tells(self, data) -> None:
        """Old news too, and again."""
        self.world.cache.upsert(data.draw(st.sampled_from(self.world.told_bodies)))

    @precondition(lambda self: self.world.told_records)
    @rule(data=st.data())
    def feed_tells(self, data) -> None:
        self.world.cache.apply_record(data.draw(st.sampled_from(self.world.told_records)))

    @rule(seconds=st.sampled_from([0.0, 0.3, 10.0]))
    def reconcile(self, seconds) -> None:
        self.world.now += seconds
        self.world.reconcile()

    @rule()
    def operator_restarts(self) -> None:
        self.world.restart()

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.settles()
        finally:
            self.loop.close()

    def settles(self) -> None:
        world = self.world
        world.away, world.answers_lost = set(), set()
        if not world.runs:
            # Of a workflow that ended undone the sweep tells, which this world has not; or an operator that starts.
            world.restart()
        world.writes.clear()
        assert world.settle() <= BOUND
        assert world.writes.total() <= BOUND, world.writes

        world.writes.clear()
        settled = world.body
        for news in world.told_bodies[-3:]:
            if world.body is not None:
                world.cache.upsert(news)
        for news in world.told_records:
            world.cache.apply_record(news)
        world.now += 100
        world.settle()
        world.restart()
        world.settle()
        world.now += 1000
        world.settle()
        assert not world.writes, (world.writes, settled, world.body)
        if settled is not None:
            self.shows_how_it_stands(settled)

    def shows_how_it_stands(self, settled) -> None:
        if "deletionTimestamp" in settled["metadata"]:
            # Only others hold it, or what is to become of its order was meant for a newer operator.
            has_finalizer = FINALIZER in settled["metadata"]["finalizers"]
            assert not has_finalizer or settled["spec"].get("deletionPolicy") == "Someday"
            return
        shown = {each["type"]: each for each in settled["status"]["conditions"]}
        assert [shown[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled")].count("True") == 1
        of, recorded = order(), self.world.record
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
        assert of.order_id == settled["status"]["orderId"]


QUICK = settings(
    max_examples=200,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ANEW = settings(QUICK, derandomize=False, max_examples=50, stateful_step_count=40)
SECONDS, MANY_SECONDS = 3.0, 30.0
"""How long other lives are played in each run, and in each of the slow tests."""


def test_the_operator_settles() -> None:
    run_state_machine_as_test(OperatorMachine, settings=QUICK)


def test_the_operator_settles_after_other_news_in_each_run(pytestconfig: pytest.Config) -> None:
    play_anew(pytestconfig, SECONDS)


@pytest.mark.slow
def test_the_operator_settles_after_much_other_news(pytestconfig: pytest.Config) -> None:
    play_anew(pytestconfig, MANY_SECONDS)


def play_anew(config: pytest.Config, seconds: float) -> None:
    for number in seeds(config, seconds):
        played = seed(number)(type("Operator", (OperatorMachine,), {}))
        with told(number):
            run_state_machine_as_test(played, settings=ANEW)
