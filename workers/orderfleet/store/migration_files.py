"""The migration files: their numbers and checksums, and which of them a database still needs. Uses no database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from orderfleet.domain.errors import OrderfleetError

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
SNAPSHOT: Final = "schema.sql"
"""The file beside the migrations that holds the schema they make: for reading and comparing, never applied."""
_OLDEST: Final = re.compile(r"^-- oldest: (.*)$", re.MULTILINE)


class MigrationError(OrderfleetError):
    """The migrations cannot be applied; the message names the file and what to do."""


@dataclass(frozen=True)
class Migration:
    """One file."""

    number: int
    name: str
    checksum: str
    """SHA-256 of the text in hex; line ends are normalized."""
    sql: str
    oldest: int | None = None
    """Number of the newest migration that a release must have to work on the schema after this one; None: none."""


@dataclass(frozen=True)
class Applied:
    """A file that a database has applied."""

    name: str
    checksum: str
    oldest: int | None = None


def default_directory() -> Path:
    """Return the folder of this installation's migrations: in the wheel, else beside `workers/` in the checkout.

    Raises:
        MigrationError: there are none.
    """
    package = Path(str(files("orderfleet")))
    for directory in (package / "migrations", package.parents[1] / "migrations"):
        if directory.is_dir():
            return directory
    raise MigrationError(f"no migrations in {package} or beside it: the installation is not complete")


def read(directory: Path) -> list[Migration]:
    """Return the migrations in `directory`, in order, without `SNAPSHOT`.

    Raises:
        MigrationError: a name is wrong, or the numbers have a gap or a duplicate, or an `-- oldest:` is none of them.
    """
    found: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        if path.name == SNAPSHOT:
            continue
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named like 0001_what_it_does.sql; rename it")
        sql = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(match[1]), path.name, checksum, sql, _oldest(path.name, int(match[1]), sql)))
    if not found:
        raise MigrationError(f"there are no migrations in {directory}")
    for expected, migration in enumerate(found, start=1):
        if migration.number == expected:
            continue
        if expected > 1 and migration.number == expected - 1:
            raise MigrationError(
                f"{found[expected - 2].name} and {migration.name} have the same number; renumber the newer one"
            )
        raise MigrationError(f"number {expected:04d} is missing before {migration.name}; restore or renumber")
    return found


def _oldest(name: str, number: int, sql: str) -> int | None:
    found = _OLDEST.search(sql)
    if found is None:
        return None
    if not re.fullmatch(r"\d{4}", found[1]) or not 0 < int(found[1]) < number:
        raise MigrationError(
            f"{name}: `-- oldest: {found[1]}` is no earlier migration's number; write `-- oldest: 0001`"
        )
    return int(found[1])


def outstanding(
    migrations: Sequence[Migration], applied: Mapping[int, Applied], *, accept_newer: bool = False
) -> list[Migration]:
    """Return the files that the database does not have yet.

    Args:
        migrations: the files, in order.
        applied: what the database has, by number.
        accept_newer: whether the database may have files of a later version, beyond the last one here.

    Raises:
        MigrationError: an applied file was changed, renamed, renumbered or removed, or leaves this release behind.
    """
    by_number = {migration.number: migration for migration in migrations}
    number_of = {migration.name[5:]: migration.number for migration in migrations}
    for number, was in sorted(applied.items()):
        now = by_number.get(number)
        if now is not None and now.name == was.name:
            if now.checksum != was.checksum:
                raise MigrationError(
                    f"{was.name} was changed after it was applied; restore it, and put the change in a new file"
                )
        elif was.name[5:] in number_of:
            other = by_number[number_of[was.name[5:]]].name
            raise MigrationError(f"{was.name} was applied and is now numbered {other}; give it back its number")
        elif accept_newer and number > migrations[-1].number:
            _reject_if_left_behind(was, migrations[-1])
        elif now is not None:
            raise MigrationError(f"{was.name} was applied and is now called {now.name}; give it back its name")
        else:
            raise MigrationError(
                f"the database has {was.name}, which is missing here: use the version of Orderfleet that has it"
                " (this one is older), or restore the file"
            )
    return [migration for migration in migrations if migration.number not in applied]


def _reject_if_left_behind(was: Applied, newest: Migration) -> None:
    if was.oldest is not None and was.oldest > newest.number:
        raise MigrationError(
            f"the database has {was.name}, which only works with releases that have number {was.oldest:04d};"
            f" the newest here is {newest.name}: go back to a later release, or restore a backup from before"
        )
