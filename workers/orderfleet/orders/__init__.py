"""The order worker: workflows of an order, of refunds and compensations, and their activities."""
