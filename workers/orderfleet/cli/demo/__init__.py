"""`orderfleet demo`: scenarios that a person can watch, each started through Kubernetes.

`command` is what the command line loads. A scenario is a module here; it acts by kubectl alone and
judges by the Order's own status, as a user would.
"""
