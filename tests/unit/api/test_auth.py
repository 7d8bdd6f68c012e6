"""Authentication and authorization: tokens of a file, JWTs of an identity provider, and checks at the start."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity_provider import AUDIENCE, ISSUER, identity_provider
from orderfleet.api.access import Access, KeysUnavailable, UnsafeSettings
from orderfleet.api.app import create_app
from orderfleet.api.authentication import FileAuthenticator, WrongTokensFile, access_from
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.api.jwt import (
    KEY_LIFETIME_SECONDS,
    MAX_DOCUMENT_BYTES,
    MIN_FETCH_INTERVAL_SECONDS,
    ClaimedRoles,
    JwksCache,
    JwtAuthenticator,
)
from orderfleet.services.deadline import Deadline, deadline_scope
from orderfleet.services.errors import OrderNotFound
from orderfleet.settings import Settings

LONG_TIMEOUT = timedelta(seconds=60)
READER, OPERATOR, CARRIER, UNKNOWN = ("reader", "operator", "carrier", "unknown")
TOKENS = {name: f"{name}-token-of-the-tests" for name in (READER, OPERATOR, CARRIER, UNKNOWN)}
FILE = [
    {"name": READER, "role": "read", "token": TOKENS[READER]},
    {"name": OPERATOR, "role": "operate", "token": TOKENS[OPERATOR]},
    {"name": CARRIER, "role": "carrier", "token": TOKENS[CARRIER]},
]
ROUTES = {"read": ("GET", "/orders/ord-1"), "operate": ("POST", "/orders/ord-1/cancel")}
JWT = {"api_auth": "jwt", "api_jwks_url": "https://id.example.com/keys"}
JWT |= {"api_jwt_issuer": ISSUER, "api_jwt_audience": AUDIENCE}
ROUTES["carrier"] = ("POST", "/orders/ord-1/shipments/shipping-ord-1-1/updates")


class NoOrders:
    """Services without orders: a 404 shows that the caller is authorized."""

    def __getattr__(self, name):
        async def ask(order_id, *args, **kwargs):
            raise OrderNotFound(f"there is no order {order_id!r}")

        return ask


@asynccontextmanager
async def api(access: Access) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        Services(Settings(), NoOrders(), NoOrders(), Readiness({}), None, access, request_timeout=LONG_TIMEOUT)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as caller:
        yield caller


async def ask(caller: httpx.AsyncClient, role: str, token: str | None) -> httpx.Response:
    method, path = ROUTES[role]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"status": "delivered"} if role == "carrier" else None
    return await caller.request(method, path, headers=headers, json=body)


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
        ({**JWT, "api_jwt_roles": "admin"}, "ORDERFLEET_API_JWT_ROLES: 'admin' isn't"),
        ({**JWT, "api_jwt_roles": "a=read,admin=root"}, "ORDERFLEET_API_JWT_ROLES: 'admin=root' isn't"),
    ],
)
def test_missing_or_invalid_authentication_setting_is_named(settings, named):
    with pytest.raises(UnsafeSettings, match=named):
        access_from(Settings(**settings))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def provider():
    async with identity_provider() as server:
        yield server


@pytest.fixture
async def by_jwt(provider, clock):
    authenticator = JwtAuthenticator(
        JwksCache(provider.url, clock=clock), issuer=ISSUER, audience=AUDIENCE, roles=ClaimedRoles("roles")
    )
    async with api(Access(authenticator)) as caller:
        yield caller


@pytest.mark.parametrize(
    ("roles", "role", "status"),
    [
        (["operate"], "operate", 404),
        (["operate"], "read", 404),
        ("email read profile", "read", 404),
        ("email read profile", "operate", 403),
        (["carrier"], "carrier", 404),
        (["admin"], "read", 403),
        (7, "read", 403),
        (None, "read", 403),
    ],
)
async def test_jwt_permits_the_routes_of_its_roles(provider, by_jwt, roles, role, status):
    answer = await ask(by_jwt, role, provider.token(roles=roles))
    assert answer.status_code == status, answer.text


async def test_jwt_roles_are_read_from_the_configured_claim_and_names(provider):
    settings = {**JWT, "api_jwks_url": provider.url, "api_jwt_roles_claim": "realm_access.roles"}
    async with api(access_from(Settings(**settings, api_jwt_roles="shop-admin=operate, shop-support=read"))) as caller:
        for name, role, status in (
            ("shop-admin", "operate", 404),
            ("shop-support", "read", 404),
            ("shop-support", "operate", 403),
            ("operate", "operate", 403),
        ):
            token = provider.token(roles=["operate"], realm_access={"roles": [name]})
            assert (await ask(caller, role, token)).status_code == status, name


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example.com"},
        {"aud": "another"},
        {"exp": 1_000_000_000},
        {"nbf": 9_000_000_000},
        {"without": ["exp"]},
        {"without": ["aud"]},
        {"without": ["iss"]},
        {"without": ["sub"]},
        {"headers": {"kid": "unknown"}},
    ],
    ids=str,
)
async def test_jwt_with_invalid_claims_is_401(provider, by_jwt, claims):
    answer = await ask(by_jwt, "read", provider.token(**claims))
    assert answer.status_code == 401, answer.text
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_forged_jwt_is_401(provider, by_jwt):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": time.time() + 600, "roles": ["operate"]}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "one"})
    shared = jwt.encode(
        claims, "secret-secret-secret-secret-secret-secret", algorithm="HS256", headers={"kid": "shared"}
    )
    header, _, signature = provider.token().split(".")
    changed = ".".join([header, jwt.encode(claims, None, algorithm="none").split(".")[1], signature])
    for token in (unsigned, shared, changed, "not.a.token", "x"):
        assert (await ask(by_jwt, "read", token)).status_code == 401


async def test_keys_are_fetched_once_and_again_for_a_new_key_id(provider, by_jwt, clock):
    for _ in range(3):
        assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    assert provider.fetched == 1
    provider.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    clock.now += MIN_FETCH_INTERVAL_SECONDS
    assert (await ask(by_jwt, "read", provider.token("two", algorithm="ES256"))).status_code == 404
    assert provider.fetched == 2


async def endless() -> web.Response:
    return web.Response(body=b" " * MAX_DOCUMENT_BYTES + b'{"keys": []}', content_type="application/json")


def responds(document: str, status: int = 200, **headers: str):
    async def respond() -> web.Response:
        return web.Response(text=document, status=status, headers=headers, content_type="application/json")

    return respond


INVALID_DOCUMENTS = {
    "null": responds("null"),
    "list": responds("[]"),
    "no-keys": responds("{}"),
    "null-keys": responds('{"keys": null}'),
    "null-key": responds('{"keys": [null, 7, {}, {"kty": null}, {"kty": ["RSA"]}, {"kty": "RSA", "n": 7}]}'),
    "empty": responds('{"keys": []}'),
    "no-json": responds("<html>"),
    "nested": responds("[" * 100_000),
    "too-long": endless,
}


@pytest.mark.parametrize("answer", INVALID_DOCUMENTS.values(), ids=INVALID_DOCUMENTS.keys())
async def test_invalid_key_set_is_503_or_keeps_the_previous_keys(provider, by_jwt, clock, answer):
    provider.answer = answer
    first = await ask(by_jwt, "read", provider.token())
    assert (first.status_code, first.json()["type"]) == (503, "urn:orderfleet:problem:keys-unavailable")
    provider.answer = None
    clock.now += MIN_FETCH_INTERVAL_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    provider.answer = answer
    clock.now += KEY_LIFETIME_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    assert provider.fetched == 3


async def test_redirect_of_the_key_set_is_not_followed(provider, by_jwt):
    provider.answer = responds("", status=302, Location=provider.url)
    assert (await ask(by_jwt, "read", provider.token())).status_code == 503
    assert provider.fetched == 1


@pytest.mark.parametrize(
    ("members", "algorithm", "status"),
    [
        ({}, "RS256", 404),
        ({}, "RS512", 404),
        ({}, "PS256", 404),
        ({"use": "sig", "alg": "RS512"}, "RS512", 404),
        ({"alg": "RS512"}, "RS256", 401),
        ({"key_ops": ["verify"]}, "RS256", 404),
        ({"use": "enc"}, "RS256", 401),
        ({"key_ops": ["encrypt"]}, "RS256", 401),
        ({"alg": "RSA-OAEP"}, "RS256", 401),
    ],
    ids=str,
)
async def test_key_verifies_only_what_its_members_allow(provider, by_jwt, members, algorithm, status):
    provider.keys["other"] = ec.generate_private_key(ec.SECP256R1())
    provider.more["one"] = members
    assert (await ask(by_jwt, "read", provider.token("other", algorithm="ES256"))).status_code == 404
    assert (await ask(by_jwt, "read", provider.token(algorithm=algorithm))).status_code == status


@pytest.mark.parametrize(
    ("curve", "algorithm"), [(ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")]
)
async def test_elliptic_curve_key_verifies_its_algorithm(provider, by_jwt, curve, algorithm):
    provider.keys["curve"] = ec.generate_private_key(curve)
    assert (await ask(by_jwt, "read", provider.token("curve", algorithm=algorithm))).status_code == 404


async def test_identity_provider_that_hangs_raises_within_the_deadline(provider, clock):
    async def hang() -> web.Response:
        await asyncio.Event().wait()

    provider.answer = hang
    keys = JwksCache(provider.url, clock=clock)
    with deadline_scope(Deadline(0.4)), pytest.raises(KeysUnavailable):
        await keys.key("one", "RS256")
    assert keys._fetch_task is not None
    keys._fetch_task.cancel()
    await asyncio.gather(keys._fetch_task, return_exceptions=True)


async def test_unknown_key_ids_do_not_cause_repeated_fetches(provider, by_jwt):
    for _ in range(5):
        assert (await ask(by_jwt, "read", provider.token(headers={"kid": "unknown"}))).status_code == 401
    assert provider.fetched == 1


async def test_revoked_key_is_rejected_after_the_key_lifetime(provider, by_jwt, clock):
    token = provider.token()
    assert (await ask(by_jwt, "read", token)).status_code == 404
    provider.keys = {"two": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
    clock.now += KEY_LIFETIME_SECONDS
    assert (await ask(by_jwt, "read", token)).status_code == 401


async def test_keys_stay_valid_while_the_identity_provider_is_unavailable(provider, by_jwt, clock):
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    provider.unavailable = True
    clock.now += KEY_LIFETIME_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404


async def test_identity_provider_that_never_answered_is_503(provider, by_jwt, clock):
    provider.unavailable = True
    answer = await ask(by_jwt, "read", provider.token())
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["type"] == "urn:orderfleet:problem:keys-unavailable"
    provider.unavailable = False
    clock.now += MIN_FETCH_INTERVAL_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
