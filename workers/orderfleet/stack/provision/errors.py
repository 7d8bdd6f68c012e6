"""What provisioning raises.

The rungs raise `RungFailed`; the ladder turns the reasons of all rungs into one
`ProvisionError`, which the command line and the stack print. Nothing here does any work.
"""

from __future__ import annotations


class RungFailed(Exception):
    """One rung can't serve a tool; the message is the reason, in a few words."""


class ProvisionError(Exception):
    """Tools can't be provided; the message names each, with the reasons and a way out."""
