"""Authentication with JWTs: claims, signatures, roles, and the key set of the identity provider."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from orderfleet.api.access import Access, KeysUnavailable
from orderfleet.api.authentication import access_from
from orderfleet.api.jwt import (
    KEY_LIFETIME_SECONDS,
    MAX_DOCUMENT_BYTES,
    MIN_FETCH_INTERVAL_SECONDS,
    ClaimedRoles,
    JwksCache,
    JwtAuthenticator,
)
from orderfleet.services.deadline import Deadline, deadline_scope
from orderfleet.settings import Settings
from support.identity_provider import AUDIENCE, ISSUER, identity_provider
from unit.api.authorized_calls import JWT_SETTINGS, api, ask


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
    settings = {**JWT_SETTINGS, "api_jwks_url": provider.url, "api_jwt_roles_claim": "realm_access.roles"}
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
}


@pytest.mark.parametrize("answer", INVALID_DOCUMENTS.values(), ids=INVALID_DOCUMENTS.keys())
async def test_invalid_key_set_is_503_or_keeps_the_previous_keys(provider, by_jwt, clock, answer):
    provider.answer = answer
    with capture_logs() as logged:
        first = await ask(by_jwt, "read", provider.token())
    assert "identity provider keys could not be fetched" in [each["event"] for each in logged]
    assert (first.status_code, first.json()["type"]) == (503, "urn:orderfleet:problem:keys-unavailable")
    provider.answer = None
    clock.now += MIN_FETCH_INTERVAL_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    provider.answer = answer
    clock.now += KEY_LIFETIME_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404
    assert provider.fetched == 3


async def test_key_set_that_is_too_long_is_not_read(provider, by_jwt, clock):
    provider.more["one"] = {"padding": "x" * MAX_DOCUMENT_BYTES}
    assert (await ask(by_jwt, "read", provider.token())).status_code == 503
    provider.more.clear()
    clock.now += MIN_FETCH_INTERVAL_SECONDS
    assert (await ask(by_jwt, "read", provider.token())).status_code == 404


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
    ended = asyncio.Event()

    async def hang() -> web.Response:
        await ended.wait()
        return web.Response()

    provider.answer = hang
    keys = JwksCache(provider.url, clock=clock)
    with deadline_scope(Deadline(0.4)), pytest.raises(KeysUnavailable):
        await keys.key("one", "RS256")
    assert keys._fetch_task is not None
    keys._fetch_task.cancel()
    await asyncio.gather(keys._fetch_task, return_exceptions=True)
    ended.set()  # the server waits for open requests when it stops


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
