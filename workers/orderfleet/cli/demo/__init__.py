"""`orderfleet demo`: scenarios that a person can watch, each started through Kubernetes.

`command` is what the command line loads, `scenarios` is where to begin reading. A scenario acts by
kubectl, as a user would, and is judged by the Order's own status and the providers' own books.
"""
