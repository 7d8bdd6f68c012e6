"""The shipping worker: the workflow of one shipment, and its activities."""
