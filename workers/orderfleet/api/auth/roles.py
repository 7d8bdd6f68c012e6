"""Which roles a token's claims give: where they stand, and what the provider calls them. `jwt` asks.

Providers differ: Keycloak nests roles (`realm_access.roles`), Auth0 names its claims by URLs, others say `roles`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orderfleet.api.auth.access import Role
from orderfleet.api.startup import UnsafeSettings

OURS: Final[Mapping[str, frozenset[Role]]] = {str(role): frozenset({role}) for role in Role}
"""Names of a provider that calls the roles as we do."""


class ClaimedRoles:
    """The roles in a token's claims.

    Args:
        claim: the claim's name, or the way to one inside others with dots between. A name may have dots itself;
            what is there under more of the name comes first.
        names: our roles by the provider's name. Other names give nothing.
    """

    def __init__(self, claim: str, names: Mapping[str, frozenset[Role]] = OURS) -> None:
        self._claim = claim
        self._names = names

    def of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """The roles; none where the claim is missing or is neither a list nor text with spaces between."""
        told = next(_at(claims, self._claim), None)
        given = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        return frozenset(role for name in given if isinstance(name, str) for role in self._names.get(name, ()))


def roles_by_name(setting: str) -> Mapping[str, frozenset[Role]]:
    """Read `THEIRS=OURS,THEIRS=OURS`; nothing is `OURS`, and a name that is given twice has both roles.

    Raises:
        UnsafeSettings: it can't be read, or names a role that there isn't.
    """
    found: dict[str, frozenset[Role]] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        theirs, _, ours = (part.strip() for part in pair.rpartition("="))
        if not theirs or ours not in OURS:
            raise UnsafeSettings(
                f"ORDERFLEET_API_JWT_ROLES: {pair!r} isn't a name of the provider's, `=`, and one of {', '.join(OURS)};"
                " write `orders-admin=operate,orders-support=read`"
            )
        found[theirs] = found.get(theirs, frozenset()) | OURS[ours]
    return found or OURS


def _at(claims: Any, way: str) -> Iterator[Any]:
    """What stands there, read with the longest names first."""
    if not isinstance(claims, Mapping):
        return
    parts = way.split(".")
    for length in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if name in claims:
            if rest:
                yield from _at(claims[name], rest)
            else:
                yield claims[name]
