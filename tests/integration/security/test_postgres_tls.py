"""TLS to Postgres, as the database URL configures it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.settings import Settings
from orderfleet.store.migrate import pending
from orderfleet.store.pool import Database, connect
from orderfleet_local.stack.certificates import Certificates
from support.tls_proxy import tls_proxy


@pytest.fixture
async def url(postgres_url: str, own_ca: Certificates) -> AsyncIterator[str]:
    """URL of a TLS proxy before Postgres, because the test server is built without TLS."""
    parts = urlsplit(postgres_url)
    async with tls_proxy(f"{parts.hostname}:{parts.port}", own_ca, postgres=True) as address:
        yield parts._replace(netloc=f"{parts.username}@{address}").geturl()


def database_at(url: str) -> Database:
    return connect(Settings(database_url=url, database_timeout="10s"), "test")


async def test_server_is_verified_by_the_authority_of_the_url(url: str, own_ca: Certificates) -> None:
    verified = f"{url}?sslmode=verify-full&sslrootcert={own_ca.file('ca.crt')}"
    async with database_at(verified) as database:
        assert await database.fetch("select 1")
    assert await pending(verified) == [], "migrations use the same TLS settings"


async def test_authority_is_renewed_without_a_restart(
    url: str, own_ca: Certificates, other_ca: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(other_ca.file("ca.crt").read_bytes())
    async with database_at(f"{url}?sslmode=verify-full&sslrootcert={file}") as database:
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await database.fetch("select 1")
        file.write_bytes(own_ca.file("ca.crt").read_bytes())
        assert await database.fetch("select 1")


async def test_server_of_another_authority_is_rejected(url: str, other_ca: Certificates) -> None:
    async with database_at(f"{url}?sslmode=verify-full&sslrootcert={other_ca.file('ca.crt')}") as database:
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await database.fetch("select 1")


async def test_server_with_another_name_is_rejected(postgres_url: str, own_ca: Certificates) -> None:
    parts = urlsplit(postgres_url)
    async with tls_proxy(f"{parts.hostname}:{parts.port}", own_ca, postgres=True, at="127.0.0.2") as address:
        url = parts._replace(
            netloc=f"{parts.username}@{address}", query=f"sslrootcert={own_ca.file('ca.crt')}"
        ).geturl()
        async with database_at(f"{url}&sslmode=verify-full") as database:
            with pytest.raises(StoreUnavailable, match="or is for another name"):
                await database.fetch("select 1")
        async with database_at(f"{url}&sslmode=verify-ca") as database:
            assert await database.fetch("select 1")


async def test_missing_authority_file_is_named(url: str) -> None:
    async with database_at(f"{url}?sslmode=verify-full&sslrootcert=/nowhere/ca.crt") as database:
        with pytest.raises(StoreUnavailable, match="names isn't there: see `sslrootcert`"):
            await database.fetch("select 1")
