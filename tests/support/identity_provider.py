"""An identity provider on its own port: it signs tokens and serves its public keys."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER, AUDIENCE = "https://id.example.com", "orderfleet"


class IdentityProvider:
    """Counts the fetches of its keys; while `unavailable` it responds with 503."""

    port = 0

    def __init__(self) -> None:
        self.keys = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.fetched = 0
        self.more: dict[str, dict[str, object]] = {}
        """Additional members of a key's JWK, by the key's name."""
        self.answer: Callable[[], Awaitable[web.Response]] | None = None
        """Response in place of the keys."""
        self.unavailable = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    async def serve(self, _request: web.Request) -> web.Response:
        self.fetched += 1
        if self.unavailable:
            raise web.HTTPServiceUnavailable
        if self.answer is not None:
            return await self.answer()
        keys = [self._public(name, key) for name, key in self.keys.items()]
        return web.json_response({"keys": [*keys, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}]})

    def _public(self, name, key):
        algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, **self.more.get(name, {})}

    def token(self, key: str = "one", *, algorithm: str = "RS256", headers=None, without=(), **claims) -> str:
        all_claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": time.time() + 600,
            "roles": ["operate"],
            **claims,
        }
        chosen = {name: value for name, value in all_claims.items() if name not in without}
        return jwt.encode(chosen, self.keys[key], algorithm=algorithm, headers={"kid": key, **(headers or {})})


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    provider = IdentityProvider()
    app = web.Application()
    app.router.add_get("/keys", provider.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.port = runner.addresses[0][1]
    try:
        yield provider
    finally:
        await runner.cleanup()
