"""The HTTP API: start, read, change and watch orders. Errors are problem documents.

It must never write to the order store or call Kubernetes.
"""
