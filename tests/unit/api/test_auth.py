"""Authentication and authorization: tokens of a file, and checks of the settings at the start."""

from __future__ import annotations

import json

import pytest

from orderfleet.api.access import Access, UnsafeSettings
from orderfleet.api.authentication import FileAuthenticator, WrongTokensFile, access_from
from orderfleet.settings import Settings
from support.identity_provider import ISSUER
from unit.api.authorized_calls import JWT_SETTINGS, api, ask

READER, OPERATOR, CARRIER, UNKNOWN = ("reader", "operator", "carrier", "unknown")
TOKENS = {name: f"{name}-token-of-the-tests" for name in (READER, OPERATOR, CARRIER, UNKNOWN)}
FILE = [
    {"name": READER, "role": "read", "token": TOKENS[READER]},
    {"name": OPERATOR, "role": "operate", "token": TOKENS[OPERATOR]},
    {"name": CARRIER, "role": "carrier", "token": TOKENS[CARRIER]},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(json.dumps(FILE))
    return path


@pytest.mark.parametrize(
    ("name", "role", "status"),
    [
        (READER, "read", 404),
        (READER, "operate", 403),
        (READER, "carrier", 403),
        (OPERATOR, "read", 404),
        (OPERATOR, "operate", 404),
        (OPERATOR, "carrier", 403),
        (CARRIER, "read", 403),
        (CARRIER, "operate", 403),
        (CARRIER, "carrier", 404),
        (UNKNOWN, "read", 401),
        (UNKNOWN, "carrier", 401),
        (None, "read", 401),
        (None, "operate", 401),
        (None, "carrier", 401),
    ],
)
async def test_token_permits_the_routes_of_its_role(file, name, role, status):
    async with api(Access(FileAuthenticator(file), allow_anonymous_carrier=False)) as caller:
        answer = await ask(caller, role, TOKENS[name] if name else None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.startswith("Bearer") == (status in {401, 403})
    assert ("invalid_token" in challenge) == (name == UNKNOWN)
    assert ("insufficient_scope" in challenge) == (status == 403)


async def test_request_without_a_token_is_401_before_it_is_validated(file):
    async with api(Access(FileAuthenticator(file))) as caller:
        for method, path in (("GET", "/orders?limit=none"), ("POST", "/orders"), ("GET", "/orders/-no-such-id")):
            assert (await caller.request(method, path)).status_code == 401, path


async def test_probes_and_documentation_need_no_token(file):
    async with api(Access(FileAuthenticator(file))) as caller:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await caller.get(path)).status_code == 200, path


async def test_tokens_file_is_reloaded_when_it_changes(file):
    async with api(Access(FileAuthenticator(file))) as caller:
        assert (await ask(caller, "read", TOKENS[UNKNOWN])).status_code == 401
        file.write_text(json.dumps([{"name": UNKNOWN, "role": "read", "token": TOKENS[UNKNOWN]}]))
        assert (await ask(caller, "read", TOKENS[UNKNOWN])).status_code == 404
        assert (await ask(caller, "read", TOKENS[READER])).status_code == 401


@pytest.mark.parametrize("change", ["emptied", "removed", "half"])
async def test_invalid_tokens_file_keeps_the_previous_tokens(file, change):
    async with api(Access(FileAuthenticator(file))) as caller:
        if change == "removed":
            file.unlink()
        else:
            file.write_text("" if change == "emptied" else '[{"name": "x"')
        for _ in range(2):
            assert (await ask(caller, "read", TOKENS[READER])).status_code == 404
        file.write_text(json.dumps(FILE[1:]))
        assert (await ask(caller, "read", TOKENS[READER])).status_code == 401
        assert (await ask(caller, "read", TOKENS[OPERATOR])).status_code == 404


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "at least 1 item"),
        ("{", "is not YAML"),
        ("just text", "valid list"),
        (json.dumps([{**FILE[0], "token": "short-secret"}]), "0.token"),
        (json.dumps([{**FILE[0], "role": "root"}]), "0.role"),
        (json.dumps([{"role": "read", "token": TOKENS[READER]}]), "0.name"),
    ],
)
def test_invalid_tokens_file_raises_without_a_token_in_the_message(tmp_path, content, message):
    path = tmp_path / "tokens.yaml"
    path.write_text(content)
    with pytest.raises(WrongTokensFile) as caught:
        FileAuthenticator(path)
    assert message in str(caught.value)
    assert "short-secret" not in str(caught.value)
    assert TOKENS[READER] not in str(caught.value)


async def test_carrier_tokens_file_authenticates_the_carrier_only(file, tmp_path):
    own = tmp_path / "carrier.yaml"
    own.write_text(json.dumps([{"name": "parcels", "role": "carrier", "token": TOKENS[UNKNOWN]}]))
    for authenticator in (None, FileAuthenticator(file)):
        async with api(Access(authenticator, FileAuthenticator(own), allow_anonymous_carrier=False)) as caller:
            assert (await ask(caller, "carrier", TOKENS[UNKNOWN])).status_code == 404
            assert (await ask(caller, "carrier", TOKENS[CARRIER])).status_code == 401
            assert (await ask(caller, "carrier", None)).status_code == 401


async def test_anonymous_carrier_is_permitted_on_a_local_stack_only():
    async with api(access_from(Settings(environment="local"))) as caller:
        assert (await ask(caller, "carrier", None)).status_code == 404
    async with api(access_from(Settings(api_auth="none"))) as caller:
        assert (await ask(caller, "read", None)).status_code == 404
        answer = await ask(caller, "carrier", TOKENS[CARRIER])
    assert answer.status_code == 403
    assert "ORDERFLEET_API_CARRIER_TOKENS_FILE" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "ORDERFLEET_API_AUTH"),
        ({"api_auth": "tokens"}, "ORDERFLEET_API_TOKENS_FILE"),
        ({"api_auth": "jwt"}, "ORDERFLEET_API_JWKS_URL"),
        ({"api_auth": "jwt", "api_jwks_url": "https://id.example.com/keys"}, "ORDERFLEET_API_JWT_ISSUER"),
        (
            {"api_auth": "jwt", "api_jwks_url": "https://id.example.com/keys", "api_jwt_issuer": ISSUER},
            "ORDERFLEET_API_JWT_AUDIENCE",
        ),
        ({"environment": "local", "api_auth": "tokens"}, "ORDERFLEET_API_TOKENS_FILE"),
        ({**JWT_SETTINGS, "api_jwt_roles": "admin"}, "ORDERFLEET_API_JWT_ROLES: 'admin' isn't"),
        ({**JWT_SETTINGS, "api_jwt_roles": "a=read,admin=root"}, "ORDERFLEET_API_JWT_ROLES: 'admin=root' isn't"),
    ],
)
def test_missing_or_invalid_authentication_setting_is_named(settings, named):
    with pytest.raises(UnsafeSettings, match=named):
        access_from(Settings(**settings))
