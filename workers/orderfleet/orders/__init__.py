"""The order worker: the order's workflow, what it owes, and its activities."""
