"""Seeing what happens: the product's metrics and traces. Rooms tell it through `observers`; it knows none of them."""
