"""An order too large for Temporal, from a file: refused before anything is started."""

from __future__ import annotations

import json

ADDRESS = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}


async def test_a_file_with_too_large_an_order_is_refused_with_the_field(orderfleet, order_id, tmp_path):
    order = {
        "apiVersion": "orderfleet.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": order_id},
        "spec": {"items": [{"sku": "w", "qty": 1}] * 40_000, "address": ADDRESS},
    }
    # JSON is YAML, and read faster.
    (tmp_path / "order.yaml").write_text(json.dumps(order))
    refused = await orderfleet("order", "start", "-f", str(tmp_path / "order.yaml"))
    assert refused.code == 2
    assert "items: the order has " in refused.err
    assert "order less, or in several orders" in refused.err
