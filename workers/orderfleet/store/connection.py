"""The record's database as the settings name it; entry points call it."""

from __future__ import annotations

from orderfleet.runtime.database_address import database_address, listen_address
from orderfleet.runtime.settings import Settings
from orderfleet.store.pool import Database
from orderfleet.telemetry.database import DatabaseMetrics


def connect(settings: Settings, role: str) -> Database:
    """Make the pool of a role; it connects at the first statement.

    Args:
        settings: where Postgres is, and how long a call may take.
        role: what the process is, as Postgres shows its connections.

    Raises:
        WrongAddressFile: a file is set for the address, and holds none.
    """
    return Database(
        database_address(settings),
        pool_size=settings.database_pool_size,
        timeout=settings.database_timeout,
        application_name=f"orderfleet {role}",
        listen_url=listen_address(settings),
        prepared=settings.database_prepared_statements,
        observer=DatabaseMetrics(settings.database_pool_size),
    )
