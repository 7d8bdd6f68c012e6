"""Grants for the runtime role, which workers, operator and API log in as. Renewed after every migration.

`orderfleet migrate` calls it as the role that owns the tables.
"""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from orderfleet.domain.errors import OrderfleetError
from orderfleet.store.migrate import connected
from orderfleet.store.statements import statement


class WrongRole(OrderfleetError):
    """The role cannot be the runtime role; the message says why and what to do."""


async def check(database_url: str, role: str, *, wait: timedelta = timedelta(0)) -> None:
    """Raise the error that `grant` would raise, before anything is migrated. Arguments as of `grant`."""
    async with connected(database_url, wait) as connection:
        await _check(connection, role)


async def grant(database_url: str, role: str, *, wait: timedelta = timedelta(0)) -> None:
    """Grant `role` what running processes need, and revoke its other rights on Orderfleet's tables.

    Args:
        database_url: of the database; its user must own the tables.
        role: its name in Postgres.
        wait: how long Postgres may take to come up.

    Raises:
        WrongRole: the role does not exist, or is a superuser or a member of the owner.
        StoreUnavailable: Postgres did not answer.
    """
    async with connected(database_url, wait) as connection:
        await _check(connection, role)
        async with connection.transaction():
            await connection.execute("select set_config('orderfleet.runtime_role', $1, true)", role)
            await connection.execute(statement("runtime_role"))


async def _check(connection: asyncpg.Connection[asyncpg.Record], role: str) -> None:
    problem = await connection.fetchval(statement("runtime_role_problem"), role)
    if problem is not None:
        raise WrongRole(f"the runtime role {role!r} can't be used: {problem}")
