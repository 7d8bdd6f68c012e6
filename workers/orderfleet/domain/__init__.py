"""Models and names that cross a process boundary; the lowest layer, it imports nothing of ours.

Everything here is read by workflows inside Temporal's sandbox: pure data and pure functions,
no I/O, no clock, no environment.
"""
