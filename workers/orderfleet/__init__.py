"""Orderfleet: order fulfillment on Kubernetes, made of durable Temporal workflows."""

__version__ = "0.1.0"
