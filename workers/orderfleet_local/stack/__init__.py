"""The local stack: every part as an ordinary process, for development and tests.

`lifecycle` starts and stops it, `state` has its addresses.
"""
