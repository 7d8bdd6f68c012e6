"""An order that is too large for Temporal is rejected before its workflow is started."""

from __future__ import annotations

import json

import pytest

from support.factories import ADDRESS_JSON


@pytest.mark.slow
async def test_start_of_a_too_large_order_is_rejected_with_the_field(orderfleet, order_id, tmp_path):
    order = {
        "apiVersion": "orderfleet.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": order_id},
        "spec": {"items": [{"sku": "w", "qty": 1}] * 40_000, "address": ADDRESS_JSON},
    }
    # JSON is YAML, and read faster.
    (tmp_path / "order.yaml").write_text(json.dumps(order))
    result = await orderfleet("order", "start", "-f", str(tmp_path / "order.yaml"))
    assert result.code == 2
    assert "items: the order has " in result.err
    assert "order less, or in several orders" in result.err
