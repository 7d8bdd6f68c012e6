"""Strategies of hypothesis for orders in every currency of ISO 4217."""

from __future__ import annotations

from hypothesis import strategies as st

from orderfleet.domain.money import EXPONENTS, Adjustment, AdjustmentKind, to_decimal
from orderfleet.domain.order import Item, OrderInput, line_ids
from support.factories import order_input

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
STEPS = st.sampled_from([1, 5, 10, 100])
"""Steps of a payment provider, in minor units."""
PRICES = st.decimals("0", "99999.9999", places=4)


@st.composite
def adjusted_orders(draw: st.DrawFn) -> OrderInput:
    """Orders with adjustments of any kind; discounts may be larger than the items."""
    currency = draw(CURRENCIES)
    items = draw(
        st.lists(st.builds(Item, sku=st.just("w"), qty=st.integers(1, 9), price=PRICES), min_size=1, max_size=5)
    )

    def adjustment(kind: AdjustmentKind, size: int, line: str) -> Adjustment:
        sign = -1 if kind is AdjustmentKind.DISCOUNT else 1
        return Adjustment(kind=kind, amount=to_decimal(sign * size, currency), line=line)

    lines = st.sampled_from(["", "", *line_ids(items)])
    adjustments = draw(st.lists(st.builds(adjustment, st.sampled_from(AdjustmentKind), st.integers(0, 10**6), lines)))
    return order_input("a", items=tuple(items), adjustments=tuple(adjustments[:49]), currency=currency)
