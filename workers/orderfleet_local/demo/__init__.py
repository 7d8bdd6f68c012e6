"""`orderfleet demo`: scenarios that a person can follow, each started through Kubernetes."""
