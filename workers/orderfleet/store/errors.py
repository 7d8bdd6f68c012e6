"""Translates errors of the driver: which of them mean that Postgres is unavailable.

Every call to Postgres goes through `translate_errors`. An error that does not pass with time, such as a violated
constraint, must never become `StoreUnavailable`: an order would wait for it forever. Values that Postgres rejects are
`StoreRejected`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from orderfleet.domain.errors import StoreRejected, StoreUnavailable

_UNAVAILABLE: Final = (
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
_REJECTED: Final = (
    asyncpg.DataError,  # class 22: out of range, a character that text can't hold
    asyncpg.IntegrityConstraintViolationError,  # class 23: a check, a missing row, a change of an event
    asyncpg.ProgramLimitExceededError,  # class 54: longer than an index row, nested too deeply
)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `StoreUnavailable` for errors that can pass with time, `StoreRejected` for values that Postgres rejects.

    Every other error passes.

    A database that is not migrated counts as unavailable, since the order can continue after the migration.
    """
    try:
        with _without_values():
            yield
    except ssl.SSLCertVerificationError as error:
        raise StoreUnavailable(
            "Postgres shows a certificate that isn't by an authority of `sslrootcert` in the database address, or is"
            f" for another name: {first_line(error)}"
        ) from error
    except FileNotFoundError as error:
        raise StoreUnavailable(
            "a file that the database address names isn't there: see `sslrootcert`, `sslcert`, `sslkey`, and the"
            " host where that is a socket"
        ) from error
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise StoreUnavailable(
            f"the database address (ORDERFLEET_DATABASE_URL or its file) can't be used: {first_line(error)}"
        ) from error
    except _UNAVAILABLE as error:
        raise StoreUnavailable(f"Postgres did not answer: {first_line(error)}") from error
    except _NOT_READY as error:
        raise StoreUnavailable(f"Postgres refused: {first_line(error)}") from error
    except _NOT_MIGRATED as error:
        raise StoreUnavailable(f"run `orderfleet migrate`, the database is older: {first_line(error)}") from error
    except _REJECTED as error:
        # Postgres and its driver quote the value behind a colon; it may be a customer's address.
        text = str(error).strip().partition("\n")[0].partition(": ")[0]
        raise StoreRejected(f"Postgres rejects the values: {text} ({type(error).__name__})") from error


@contextmanager
def _without_values() -> Iterator[None]:
    """Remove the server's detail from errors: it shows the values of a row, such as a customer's address."""
    try:
        yield
    except asyncpg.PostgresError as error:
        error.detail = None
        raise


def is_unavailable(error: BaseException) -> bool:
    """Return whether the error means that Postgres cannot be reached or cannot serve now."""
    return isinstance(error, _UNAVAILABLE)


def first_line(error: BaseException) -> str:
    """The error in one line, also when it has no text of its own."""
    kind, text = type(error).__name__, str(error).strip().partition("\n")[0]
    return f"{text} ({kind})" if text else kind
