"""What the settings of payment provider and carrier have to be like, alone and together.

`Settings` calls it as it reads the environment; problems name the variables and what to do.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator

from orderfleet.contracts.duration import format_duration
from orderfleet.contracts.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.runtime.settings.base import variable

SIMULATED: Final = "simulated"
HTTP: Final = "http"
NOBODY: Final = (None, SIMULATED)
"""Choices that call nobody."""

_URL: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def _read_url(text: str) -> str:
    if text and not _URL.fullmatch(text):
        raise ValueError("write https://HOST[:PORT][/PATH], without user, password and query")
    return text


ServiceUrl = Annotated[str, AfterValidator(_read_url)]
"""Base of a service's paths; empty is none."""


def check_url(settings: Any, adapter: str, url: str) -> None:
    """See to it that the `http` adapter has somebody to call.

    Raises:
        ValueError: it has not.
    """
    if getattr(settings, adapter) == HTTP and not getattr(settings, url):
        raise ValueError(f"the adapter {variable(adapter)}={HTTP} needs {variable(url)}")


def check_timeout(settings: Any, call: str, attempt: str) -> None:
    """See to it that a call fits into its attempt, so that neither it nor the record uses the attempt up.

    The statement before the call may take the database's whole time-out; the one after it is bounded
    by what is left (`steps.bounds`), of which there has to be some.

    Raises:
        ValueError: it does not fit.
    """
    database: timedelta = settings.database_timeout
    needed: timedelta = getattr(settings, call) + database + LEAST_FOR_THE_STORE + ANSWER_MARGIN
    if needed > getattr(settings, attempt):
        raise ValueError(
            f"the attempt {_told(settings, attempt)} has no room for a call of {_told(settings, call)} beside"
            f" {_told(settings, 'database_timeout')}: it takes {format_duration(needed)};"
            f" shorten {variable(call)} or lengthen {variable(attempt)}"
        )


def _told(settings: Any, field: str) -> str:
    return f"{variable(field)} ({format_duration(getattr(settings, field))})"
