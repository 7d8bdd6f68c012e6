"""The base of all groups of settings: how the environment is read and how its variables are named."""

from __future__ import annotations

from typing import Final

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "ORDERFLEET_"


def names(name: str, *others: str) -> AliasChoices:
    """The variables of a field, the first set one wins.

    Args:
        name: of our variable, without the prefix.
        others: names of earlier systems.
    """
    return AliasChoices(f"{PREFIX}{name}", *others)


def variable(field: str) -> str:
    """The name of a field's environment variable, for messages."""
    return f"{PREFIX}{field.upper()}"


class Group(BaseSettings):
    """A group of settings; the text below a field describes it in the documentation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="ignore", case_sensitive=False
    )
