"""What the operator remembers: the newest of each object, the newest of each record."""

from __future__ import annotations

import json
import tracemalloc

from declared import body, record

from orderfleet.operator.cache import Key, OrderCache

KEY = Key("shop", "o-1")


def told(version: str, **changes):
    made = body(**changes)
    made["metadata"]["resourceVersion"] = version
    made["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    return made


def test_older_news_of_an_object_is_dropped():
    memory = OrderCache()
    memory.see(told("9", generation=2))
    memory.see(told("10", generation=3))
    memory.see(told("8"))
    assert memory[KEY].body["metadata"]["generation"] == 3


def test_another_object_of_the_same_name_begins_anew():
    memory = OrderCache()
    memory.see(told("9"))
    memory[KEY].learn(told_generation=4)
    memory.see(told("3", uid="uid-2"))
    assert (memory[KEY].uid, memory[KEY].known.told_generation) == ("uid-2", 0)


def test_the_end_of_the_object_before_does_not_forget_the_one_after():
    memory = OrderCache()
    memory.see(told("9", uid="uid-2"))
    memory.forget(KEY, "uid-1")
    assert len(memory) == 1
    memory.forget(KEY, "uid-2")
    assert list(memory) == []


def test_what_only_others_need_is_not_kept():
    memory = OrderCache()
    memory.see(told("9"))
    assert "managedFields" not in memory[KEY].body["metadata"]


def test_an_order_at_rest_is_as_it_was_seen_and_takes_less_memory():
    memory, count = OrderCache(), 200
    seen = [told("9", name=f"o-{number}") for number in range(count)]
    news = [json.dumps(one) for one in seen]
    tracemalloc.start()
    try:
        keys = [memory.see(json.loads(one)) for one in news]
        awake = tracemalloc.get_traced_memory()[0]
        for key in keys:
            memory[key].rest()
        assert tracemalloc.get_traced_memory()[0] < awake / 2
    finally:
        tracemalloc.stop()
    assert (memory[keys[0]].order_id, memory.steps()) == ("o-0", {"none": count})
    assert memory[keys[0]].body["spec"] == seen[0]["spec"]


def test_record_reaches_its_order_once():
    memory = OrderCache()
    memory.see(told("9"))
    assert memory.remember(record(version=2)) == KEY
    assert memory.remember(record(version=2)) is None
    assert memory.remember(record(version=1)) is None
    assert memory[KEY].known.record.version == 2


def test_it_owns_the_orders_that_it_watches():
    memory = OrderCache()
    memory.see(told("9"))
    assert [memory.owns(owner) for owner in ("shop/o-1", "shop/o-2", "outlet/o-1", "o-1", "")] == [True] + [False] * 4
    memory.forget(KEY, "uid-1")
    assert not memory.owns("shop/o-1")


def test_record_of_an_unwatched_order_is_passed_over():
    memory = OrderCache()
    assert memory.remember(record()) is None
    memory.see(told("9", orderId="other"))
    assert memory.remember(record()) is None
    assert memory.remember(record(owner="")) is None
