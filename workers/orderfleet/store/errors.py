"""Which of the driver's errors mean that Postgres is away, and the one place that says so.

Every module of the store that talks to Postgres goes through `translated`. An error that waiting
can't mend (a constraint, a wrong statement) must never become `StoreUnavailable`: an order would
wait for it forever.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from orderfleet.contracts.errors import StoreUnavailable

_AWAY: Final = (
    TimeoutError,
    OSError,  # refused, reset, unknown host, TLS
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.OperatorInterventionError,  # class 57: starting, stopping, statement time-out
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk full
    asyncpg.TransactionRollbackError,  # class 40: serialization, deadlock
    asyncpg.PostgresSystemError,  # class 58: I/O errors
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, during a failover
)

_NOT_READY: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28: a password being rotated
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
_NOT_MIGRATED: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailable` for what another try may find mended; let everything else pass.

    A database that is not set up (yet) counts as away: it is mended by whoever runs it, not by
    failing the order.
    """
    try:
        with _without_values():
            yield
    except ssl.SSLCertVerificationError as error:
        raise StoreUnavailable(
            "Postgres shows a certificate that isn't by an authority of `sslrootcert` in the database address, or is"
            f" for another name: {told(error)}"
        ) from error
    except FileNotFoundError as error:
        raise StoreUnavailable(
            "a file that the database address names isn't there: see `sslrootcert`, `sslcert`, `sslkey`, and the"
            " host where that is a socket"
        ) from error
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise StoreUnavailable(
            f"the database address (ORDERFLEET_DATABASE_URL or its file) can't be used: {told(error)}"
        ) from error
    except _AWAY as error:
        raise StoreUnavailable(f"Postgres did not answer: {told(error)}") from error
    except _NOT_READY as error:
        raise StoreUnavailable(f"Postgres refused: {told(error)}") from error
    except _NOT_MIGRATED as error:
        raise StoreUnavailable(f"run `orderfleet migrate`, the database is older: {told(error)}") from error


@contextmanager
def _without_values() -> Iterator[None]:
    """Let no error tell what stands in a row: the server's detail shows it, and with it a customer's address."""
    try:
        yield
    except asyncpg.PostgresError as error:
        error.detail = None
        raise


def is_away(error: BaseException) -> bool:
    """Whether the error means that Postgres can't be reached or can't serve now."""
    return isinstance(error, _AWAY)


def told(error: BaseException) -> str:
    """The error in one line, also when it has no text of its own."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
