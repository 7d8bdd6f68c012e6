"""The API server: credentials, and every request but the watch.

Each write to an Order must name the resource version it was made from, so no change is overwritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import kopf

from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION
from orderfleet.operator.cache import Key


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Read the current credentials: of the pod's service account, or else of KUBECONFIG's current context.

    Raises:
        kopf.LoginError: there are no credentials.
    """
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise kopf.LoginError("there is neither a service account nor a kubeconfig; set KUBECONFIG")
    return info


PAGE_SIZE: Final = 500
"""Number of Orders in a page of a listing."""

_MERGE_PATCH: Final = {"Content-Type": "application/merge-patch+json"}

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)

_CREDENTIALS_MAX_AGE: Final = 60.0
"""Seconds after which credentials are read again, because they may be rotated; as in client-go."""


class KubernetesUnavailable(OrderfleetError):
    """The API server did not respond, or is overloaded; the request can be retried."""


class KubernetesRequestRejected(OrderfleetError):
    """The API server rejected the request; the message is the API server's."""


class ObjectNotFound(OrderfleetError):
    """The object does not exist."""


class ObjectConflict(OrderfleetError):
    """The object has changed since the resource version of the patch."""


class Write(StrEnum):
    """Kinds of writes to an Order."""

    ADD_FINALIZER = "add-finalizer"
    STATUS = "status"
    REMOVE_FINALIZER = "remove-finalizer"


class Kubernetes:
    """A client of the API server.

    Args:
        login: reads the credentials.
        connections: maximal number of connections.
        on_write: called before each patch of an Order.
        on_call: called after each request with its method and status; None without a response.
    """

    def __init__(
        self,
        login: Callable[[], kopf.ConnectionInfo],
        *,
        connections: int,
        on_write: Callable[[Key, Write], None] = lambda _key, _write: None,
        on_call: Callable[[str, int | None], None] = lambda _verb, _status: None,
    ) -> None:
        self._login = login
        self._connections = connections
        self._on_write = on_write
        self._on_call = on_call
        self._info: kopf.ConnectionInfo | None = None
        self._session: aiohttp.ClientSession | None = None
        self._logged_in_at = float("-inf")

    async def patch(self, key: Key, write: Write, body: dict[str, Any], version: str) -> dict[str, Any]:
        """Merge a patch into an Order, or into its status, and return the Order.

        Args:
            key: of the Order.
            write: kind of the write; `STATUS` patches the status subresource.
            body: the merge patch (RFC 7386).
            version: the resource version that the patch was made from.

        Raises:
            ObjectNotFound: the Order does not exist.
            ObjectConflict: the Order has another resource version.
            KubernetesRequestRejected: the patch is not allowed or not valid.
            KubernetesUnavailable: the API server did not respond.
        """
        self._on_write(key, write)
        body.setdefault("metadata", {})["resourceVersion"] = version
        path = _order(key) + ("/status" if write is Write.STATUS else "")
        return await self._call("PATCH", path, body, _MERGE_PATCH)

    async def get(self, key: Key) -> dict[str, Any]:
        """Read an Order. Raises as `patch`."""
        return await self._call("GET", _order(key))

    async def delete(self, key: Key) -> None:
        """Delete an Order; it exists until it has no finalizer. Raises as `patch`."""
        await self._call("DELETE", _order(key))

    async def is_terminating(self, namespace: str) -> bool:
        """Whether a namespace is being deleted or does not exist. Raises as `patch`."""
        try:
            found = await self._call("GET", f"/api/v1/namespaces/{namespace}")
        except ObjectNotFound:
            return True
        return "deletionTimestamp" in found["metadata"]

    async def post_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Post an Event. Raises as `patch`."""
        await self._call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    async def serves_orders(self) -> bool:
        """Whether the API server has the CRD. Raises as `patch`."""
        try:
            resources = await self._call("GET", f"/apis/{CRD_GROUP}/{CRD_VERSION}")
        except ObjectNotFound:
            return False
        return any(resource["name"] == CRD_PLURAL for resource in resources.get("resources", ()))

    async def orders(self, namespace: str) -> AsyncIterator[dict[str, Any]]:
        """Read the Orders of a namespace, page by page; of all namespaces if it is empty.

        Raises:
            OrderfleetError: as `patch`; `ObjectNotFound` if the API server has no CRD, or a page comes too late.
        """
        scope = f"namespaces/{namespace}/" if namespace else ""
        query = {"limit": str(PAGE_SIZE)}
        while True:
            page = await self._call("GET", f"/apis/{CRD_GROUP}/{CRD_VERSION}/{scope}{CRD_PLURAL}?{urlencode(query)}")
            for order in page["items"]:
                yield order
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def scale_to_zero(self, namespace: str, name: str) -> None:
        """Scale a Deployment to zero. Raises as `patch`."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"
        await self._call("PATCH", path, {"spec": {"replicas": 0}}, _MERGE_PATCH)

    async def list_pods(self, namespace: str, selector: str) -> list[str]:
        """Names of the pods that match a label selector. Raises as `patch`."""
        query = urlencode({"labelSelector": selector})
        found = await self._call("GET", f"/api/v1/namespaces/{namespace}/pods?{query}")
        return [pod["metadata"]["name"] for pod in found["items"]]

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            status, answer = await self._send(method, path, body, headers or {})
            if status == HTTPStatus.UNAUTHORIZED:
                self._logged_in_at = float("-inf")
                status, answer = await self._send(method, path, body, headers or {})
        except (aiohttp.ClientError, TimeoutError, OSError, kopf.LoginError) as error:
            raise KubernetesUnavailable(f"{method} {path}: {str(error) or repr(error)}") from error
        if status < HTTPStatus.BAD_REQUEST:
            return answer
        message = f"{method} {path}: {status} {answer.get('message', '')}"
        match status:
            case 404:
                raise ObjectNotFound(message)
            case 409:
                raise ObjectConflict(message)
            case 401 | 429:
                raise KubernetesUnavailable(message)
        raise (KubernetesUnavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else KubernetesRequestRejected)(
            message
        )

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        session, info = await self._open_session()
        url = info.server.rstrip("/") + path
        status: int | None = None
        try:
            async with session.request(
                method, url, json=body, headers={**info.as_http_headers(), **headers}, proxy=info.proxy_url
            ) as response:
                status = response.status
                return status, await _read(response)
        finally:
            self._on_call(method, status)

    async def _open_session(self) -> tuple[aiohttp.ClientSession, kopf.ConnectionInfo]:
        now = asyncio.get_running_loop().time()
        if self._session is not None and self._info is not None and now - self._logged_in_at < _CREDENTIALS_MAX_AGE:
            return self._session, self._info
        info = self._login()
        self._logged_in_at = now
        old, before = self._session, self._info
        if old is None or before is None or replace(before, token=None) != replace(info, token=None):
            connector = aiohttp.TCPConnector(limit=self._connections, ssl=info.as_ssl_context())
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=info.trust_env)
            if old is not None:
                await old.close()
        self._info = info
        assert self._session is not None
        return self._session, info

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    if response.content_type != "application/json":
        return {"message": (await response.text())[:200]}
    return dict(await response.json())


def _order(key: Key) -> str:
    return f"/apis/{CRD_GROUP}/{CRD_VERSION}/namespaces/{key.namespace}/{CRD_PLURAL}/{key.name}"
