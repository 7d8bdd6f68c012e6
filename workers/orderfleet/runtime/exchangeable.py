"""A connection to Temporal that can be exchanged under the clients and workers that hold it.

`temporal` gives every client one, `renewal` exchanges it. It never connects by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import ServiceClient


class ExchangeableService(ServiceClient):
    """`ServiceClient` that passes calls on to the one it was given last.

    The SDK foresees such a wrapper: workers are given `worker_service_client`.
    """

    def __init__(self, inner: ServiceClient) -> None:
        super().__init__(inner.config)
        self._inner = inner

    def exchange(self, inner: ServiceClient) -> None:
        """Pass calls on to `inner` from now on; those under way end where they began."""
        self._inner = inner
        self.config = inner.config

    @property
    def worker_service_client(self) -> Any:
        """What a worker polls with; one that runs has to be given its client again after an exchange."""
        return self._inner.worker_service_client

    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        """Change the metadata of calls."""
        self._inner.update_rpc_metadata(metadata)

    def update_api_key(self, api_key: str | None) -> None:
        """Change the API key of calls."""
        self._inner.update_api_key(api_key)

    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[Any],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,  # noqa: ASYNC109 - the SDK's name
    ) -> Any:
        return await self._inner._rpc_call(  # noqa: SLF001 - the SDK's own hook for a wrapper
            rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
        )


def exchangeable(client: Client) -> Client:
    """The same client over a connection that can be exchanged."""
    config = client.config()
    config["service_client"] = ExchangeableService(client.service_client)
    return Client(**config)
