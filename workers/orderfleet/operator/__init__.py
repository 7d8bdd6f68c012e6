"""The Kubernetes operator: it starts a workflow for each Order and writes the order's state to the Order's status."""
