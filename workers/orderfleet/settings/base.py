"""What every group of settings is made from: how the environment is read and its variables are named."""

from __future__ import annotations

from typing import Final

from pydantic import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "ORDERFLEET_"


def names(name: str, *others: str) -> AliasChoices:
    """Ours first, then the names people already use."""
    return AliasChoices(f"{PREFIX}{name}", *others)


def variable(field: str) -> str:
    """The environment variable of a field, for messages."""
    return f"{PREFIX}{field.upper()}"


class Group(BaseSettings):
    """Settings of one kind."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, populate_by_name=True, extra="ignore", case_sensitive=False
    )
