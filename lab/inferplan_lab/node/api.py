"""A small asynchronous client of the Kubernetes API: JSON in, JSON out, errors with their status."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp

from inferplan_lab.kubeconfig import Kubeconfig
from inferplan_lab.node.documents import JsonObject

_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
_WATCH_SECONDS = 240  # asked of the server; the client gives up a little later
_LINE_LIMIT_BYTES = 16 * 2**20  # the longest event: an object is at most 1.5 MB in etcd, more as JSON

# What a request can raise when the API server is away, slow or broken.
CONNECTION_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError)


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """One user's connection to one API server; an asynchronous context manager."""

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        self.server = kubeconfig.server.rstrip("/")
        self.ca_pem = kubeconfig.ca_pem
        self._headers = {"Authorization": f"Bearer {kubeconfig.token}", "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        tls = ssl.create_default_context(cadata=self.ca_pem)
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS, sock_connect=_CONNECT_SECONDS),
            read_bufsize=_LINE_LIMIT_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> JsonObject:
        """Read an object or a list.

        Raises:
            ApiError: the server refused.
        """
        return await self._send("GET", path, None, params or {})

    async def find(self, path: str) -> JsonObject | None:
        """Read an object, None where it doesn't exist.

        Raises:
            ApiError: the server refused for another reason.
        """
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def create(self, path: str, body: JsonObject) -> JsonObject:
        """Post an object.

        Raises:
            ApiError: the server refused; 409 where it exists.
        """
        return await self._send("POST", path, body, {})

    async def patch(self, path: str, body: JsonObject) -> JsonObject:
        """Send a JSON merge patch.

        Raises:
            ApiError: the server refused; 409 where a uid in the body is not the object's.
        """
        return await self._send("PATCH", path, body, {})

    async def delete(self, path: str, options: JsonObject) -> JsonObject:
        """Delete an object with these DeleteOptions.

        Raises:
            ApiError: the server refused.
        """
        return await self._send("DELETE", path, options, {})

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[JsonObject]:
        """Yield the events after `resource_version` until the server ends the watch.

        Raises:
            ApiError: the server refused, or sent an ERROR event (410: the version is too old).
        """
        params = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_WATCH_SECONDS + 30)
        async with self._open().get(self.server + path, params=params, timeout=timeout) as response:
            await _check(response)
            async for line in response.content:
                event: JsonObject = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError(int(event["object"].get("code", 500)), str(event["object"].get("message")))
                yield event

    async def _send(self, method: str, path: str, body: JsonObject | None, params: Mapping[str, str]) -> JsonObject:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind}
        url = self.server + path
        async with self._open().request(method, url, data=data, params=params, headers=headers) as response:
            await _check(response)
            answer: JsonObject = await response.json(content_type=None)
            return answer

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Api: use it inside `async with`")
        return self._session


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < HTTPStatus.BAD_REQUEST:
        return
    text = await response.text()
    try:
        message = str(json.loads(text).get("message", text))
    except (ValueError, AttributeError):
        message = text
    raise ApiError(response.status, message)
