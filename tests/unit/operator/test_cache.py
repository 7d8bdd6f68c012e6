"""The cache keeps the latest version of each Order and of its row in the order store."""

from __future__ import annotations

import json
import tracemalloc

from orderfleet.operator.cache import Key, OrderCache
from support.observed_orders import body, record

KEY = Key("shop", "o-1")


def order_version(version: str, **changes):
    made = body(**changes)
    made["metadata"]["resourceVersion"] = version
    made["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    return made


def test_cache_ignores_older_version_of_object():
    cache = OrderCache()
    cache.upsert(order_version("9", generation=2))
    cache.upsert(order_version("10", generation=3))
    cache.upsert(order_version("8"))
    assert cache[KEY].body["metadata"]["generation"] == 3


def test_cache_object_of_same_name_replaces_state():
    cache = OrderCache()
    cache.upsert(order_version("9"))
    cache[KEY].observe(sent_generation=4)
    cache.upsert(order_version("3", uid="uid-2"))
    assert (cache[KEY].uid, cache[KEY].observed.sent_generation) == ("uid-2", 0)


def test_cache_removal_of_earlier_object_keeps_later_one():
    cache = OrderCache()
    cache.upsert(order_version("9", uid="uid-2"))
    cache.remove(KEY, "uid-1")
    assert len(cache) == 1
    cache.remove(KEY, "uid-2")
    assert list(cache) == []


def test_cache_drops_unused_fields():
    cache = OrderCache()
    cache.upsert(order_version("9"))
    assert "managedFields" not in cache[KEY].body["metadata"]


def test_serialized_entry_is_equal_and_uses_less_memory():
    cache, count = OrderCache(), 200
    seen = [order_version("9", name=f"o-{number}") for number in range(count)]
    texts = [json.dumps(each) for each in seen]
    tracemalloc.start()
    try:
        keys = [cache.upsert(json.loads(each)) for each in texts]
        before = tracemalloc.get_traced_memory()[0]
        for key in keys:
            cache[key].serialize()
        assert tracemalloc.get_traced_memory()[0] < before / 2
    finally:
        tracemalloc.stop()
    assert (cache[keys[0]].order_id, cache.count_by_step()) == ("o-0", {"none": count})
    assert cache[keys[0]].body["spec"] == seen[0]["spec"]


def test_record_newer_than_cached_updates_its_order():
    cache = OrderCache()
    cache.upsert(order_version("9"))
    assert cache.apply_record(record(version=2)) == KEY
    assert cache.apply_record(record(version=2)) is None
    assert cache.apply_record(record(version=1)) is None
    assert cache[KEY].observed.record.version == 2


def test_cache_contains_owner_of_watched_orders_only():
    cache = OrderCache()
    cache.upsert(order_version("9"))
    assert [cache.contains_owner(owner) for owner in ("shop/o-1", "shop/o-2", "outlet/o-1", "o-1", "")] == [True] + [
        False
    ] * 4
    cache.remove(KEY, "uid-1")
    assert not cache.contains_owner("shop/o-1")


def test_record_of_unwatched_order_is_ignored():
    cache = OrderCache()
    assert cache.apply_record(record()) is None
    cache.upsert(order_version("9", orderId="other"))
    assert cache.apply_record(record()) is None
    assert cache.apply_record(record(owner="")) is None
