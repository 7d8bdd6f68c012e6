"""Validation of the settings of Postgres and Temporal."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orderfleet.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://orderfleet@127.0.0.1:5432/orderfleet",
        "postgresql+asyncpg://me:p%40ss@db/orders?sslmode=verify-full&sslrootcert=/etc/ca.crt",
        "postgres://me:secret@[::1]:5432/orders",
        "postgresql://me@one:5432,two:5433,three/orders?target_session_attrs=read-write",
        "postgresql://me@%2Fvar%2Frun%2Fpostgresql/orders",
        "postgresql:///orders?host=/var/run/postgresql",
    ],
)
def test_postgres_addresses_are_accepted(url: str) -> None:
    assert Settings(database_url=url).database_url.get_secret_value().partition("://")[2] == url.partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@db/orders",
        "host=h password=secret",
        "",
        "postgresql://me:secret@db:port/orders",
        "postgresql://me:secret@[db/x",
    ],
)
@pytest.mark.parametrize("field", ["database_url", "database_listen_url"])
def test_other_addresses_are_rejected_without_their_content(url: str, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**{field: url})
    (problem,) = caught.value.errors(include_input=False)
    assert "write postgresql://USER" in problem["msg"]
    assert "secret" not in problem["msg"]


def test_temporal_address_with_a_scheme_is_rejected() -> None:
    assert Settings(temporal_address="temporal:7233").temporal_address == "temporal:7233"
    with pytest.raises(ValidationError, match="write HOST:PORT, without a scheme"):
        Settings(temporal_address="https://temporal:7233")
