"""Request metrics have bounded labels: route, status and standard methods, for any path and method."""

from __future__ import annotations

from support.metric_samples import metric_changes

COUNT = "orderfleet_api_request_duration_seconds_count"


async def test_requests_are_counted_by_route_and_status(api, order_id, new_order, workflow_env):
    async with api() as caller:
        with metric_changes() as samples:
            await new_order(caller, order_id)
            await caller.get(f"/orders/{order_id}/status")
            await caller.get("/orders/never-heard-of/status")
            await caller.get(f"/no/such/path/{order_id}")
            await caller.request("BREW", "/orders")
            await caller.get("/healthz")
    assert samples(COUNT, method="POST", route="/orders", status="201") == 1
    assert samples(COUNT, method="GET", route="/orders/{order_id}/status", status="200") == 1
    assert samples(COUNT, method="GET", route="/orders/{order_id}/status", status="404") == 1
    assert samples(COUNT, method="GET", route="none", status="404") == 1
    assert samples(COUNT, method="other") == 1
    assert samples(COUNT) == 5
    assert not any(order_id in value for _, labels in samples.values for _, value in labels)
