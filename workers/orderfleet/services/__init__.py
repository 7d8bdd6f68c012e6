"""What callers do with orders: start, change, look up. The one way into Temporal; every call is idempotent."""
