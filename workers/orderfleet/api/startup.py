"""What the API refuses to start with. Called by `serve` before anything listens.

The choice of an authentication is checked where it is made, in `auth.choice`.
"""

from __future__ import annotations

from orderfleet.contracts.errors import WrongSetting
from orderfleet.runtime.settings import Environment, Settings


class UnsafeSettings(WrongSetting):
    """What the API must not start with: settings that are dangerous together, or lead nowhere."""


def refuse_unsafe(settings: Settings) -> None:
    """Check the settings as a whole.

    Raises:
        UnsafeSettings: the message names the settings and what to do.
    """
    if settings.sample_orders and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings(
            "ORDERFLEET_SAMPLE_ORDERS is for ORDERFLEET_ENVIRONMENT=local only: it would ship samples"
            " to a sample address; turn one of them off"
        )
