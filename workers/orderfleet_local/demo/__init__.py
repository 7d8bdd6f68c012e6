"""`orderfleet demo`: scenarios of one order each, started through Kubernetes, followed and checked."""
