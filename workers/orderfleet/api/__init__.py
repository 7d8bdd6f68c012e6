"""The HTTP API: orders over HTTP, answers from the client and the read side, errors as problem documents.

It must never write to the record or talk to Kubernetes.
"""
