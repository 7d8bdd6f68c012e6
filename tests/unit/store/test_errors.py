from __future__ import annotations

import re

import asyncpg
import pytest

from orderfleet.domain.errors import OrderConflict, StoreRejected, StoreUnavailable
from orderfleet.store.errors import translate_errors


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionRefusedError("refused"),
        asyncpg.ConnectionDoesNotExistError("closed"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.SerializationError("could not serialize access"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),
        asyncpg.DiskFullError("no space left"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.UndefinedTableError('relation "orders" does not exist'),
        asyncpg.exceptions.ClientConfigurationError("`sslmode` parameter must be one of: disable, allow, prefer"),
    ],
)
def test_errors_that_can_pass_with_time_are_store_unavailable(error: Exception) -> None:
    with pytest.raises(StoreUnavailable, match=type(error).__name__) as caught, translate_errors():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.PostgresSyntaxError("near selec"),
        OrderConflict("ord-1"),
        ValueError("ours"),
    ],
)
def test_errors_that_do_not_pass_with_time_are_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translate_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.CheckViolationError("status"),
        asyncpg.ForeignKeyViolationError("no such order"),
        asyncpg.RestrictViolationError("append-only"),
        asyncpg.DataError("wrong type"),
        asyncpg.CharacterNotInRepertoireError("invalid byte sequence"),
        asyncpg.ProgramLimitExceededError('index row size 2840 exceeds btree version 4 maximum 2704 for index "x"'),
        asyncpg.StatementTooComplexError("stack depth limit exceeded"),
    ],
)
def test_values_that_postgres_never_accepts_are_store_rejected(error: Exception) -> None:
    with (
        pytest.raises(StoreRejected, match=re.escape(f"{error} ({type(error).__name__})")) as caught,
        translate_errors(),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_rejection_does_not_quote_the_value() -> None:
    with pytest.raises(StoreRejected) as caught, translate_errors():
        raise asyncpg.InvalidTextRepresentationError('invalid input syntax for type json: "1 Main St"')
    assert str(caught.value).endswith("invalid input syntax for type json (InvalidTextRepresentationError)")
