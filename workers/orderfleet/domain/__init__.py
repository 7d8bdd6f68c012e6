"""Models, names and rules of an order. The lowest layer: it imports no other package of the project.

Workflows use it, so it must have pure data and pure functions only: no I/O, no clock, no environment.
"""
