"""Reads the settings for every command, and says which environment variable is wrong and how.

Roles and client commands call it. It must never print what was given, which may be a secret; only
the message about a duration repeats it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orderfleet.cli.exits import Wrong

if TYPE_CHECKING:
    from orderfleet.runtime.settings import Settings


def read_settings(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` win over the environment.

    Raises:
        Wrong: one line a problem, each naming the variable.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - `--help` needs neither
    from pydantic_settings import SettingsError  # noqa: PLC0415

    from orderfleet.runtime.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise Wrong("\n".join(_line(problem) for problem in problems)) from None
    except SettingsError as error:
        raise Wrong(str(error)) from None


def variables(field: str) -> list[str]:
    """The environment variables that set a field, ours first."""
    from pydantic import AliasChoices  # noqa: PLC0415

    from orderfleet.runtime.settings import PREFIX, Settings  # noqa: PLC0415

    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return list(dict.fromkeys(str(choice) for choice in alias.choices))
    return [f"{PREFIX}{field.upper()}"]


def _line(problem: Any) -> str:
    from orderfleet.contracts.complaints import complaint  # noqa: PLC0415
    from orderfleet.runtime.settings import Settings  # noqa: PLC0415

    if not problem["loc"]:
        # Of several settings together: it names them and says what to do.
        return str(problem["msg"]).removeprefix("Value error, ")
    named = str(problem["loc"][0])
    names = next((names for field in Settings.model_fields if named in (field, *(names := variables(field)))), [named])
    return f"{' or '.join(names)}: {complaint(problem)}; correct it or leave it unset"
