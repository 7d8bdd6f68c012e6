"""The claim that holds a token's roles, and the provider's names of the roles."""

from __future__ import annotations

import pytest

from orderfleet.api.access import Role
from orderfleet.api.jwt import DEFAULT_ROLE_NAMES, ClaimedRoles, parse_role_names


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("roles", {"roles": ["read"]}),
        ("scope", {"scope": "openid read email"}),
        ("realm_access.roles", {"realm_access": {"roles": ["read", "offline_access"]}}),
        ("resource_access.shop.example.com.roles", {"resource_access": {"shop.example.com": {"roles": ["read"]}}}),
        ("https://shop.example.com/roles", {"https://shop.example.com/roles": ["read"]}),
        ("https://shop.example.com/app.roles", {"https://shop.example.com/app": {"roles": ["read"]}}),
        ("a.b", {"a.b": ["read"], "a": {"b": ["operate"]}}),
        ("a.b.c", {"a.b": "text", "a": {"b": {"c": ["read"]}}}),
    ],
)
def test_claim_is_found_by_name_or_path(claim, claims):
    assert ClaimedRoles(claim).of(claims) == {Role.READ}


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"realm_access": ["read"]},
        {"realm_access": {"roles": {"read": True}}},
        {"realm_access": {"roles": [["read"], {"name": "read"}, 7, None]}},
        {"realm_access": {"roles": None}},
        {"realm_access": "roles"},
        {"roles": ["read"]},
    ],
    ids=str,
)
def test_missing_or_malformed_claim_gives_no_role(claims):
    assert ClaimedRoles("realm_access.roles").of(claims) == frozenset()


def test_role_names_of_the_provider_replace_ours():
    names = parse_role_names("orders-admin=operate, orders-admin=carrier,https://x/y=z=read,")
    assert names == {"orders-admin": {Role.OPERATE, Role.CARRIER}, "https://x/y=z": {Role.READ}}
    assert ClaimedRoles("roles", names).of({"roles": ["orders-admin", "read"]}) == {Role.OPERATE, Role.CARRIER}


def test_empty_role_names_give_the_default_names():
    assert parse_role_names("") is DEFAULT_ROLE_NAMES
    assert set(DEFAULT_ROLE_NAMES) == {"read", "operate", "carrier"}
