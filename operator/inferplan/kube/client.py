"""The API server over HTTP: few methods, bounded retries, errors of our own."""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from inferplan.kube.connection import Connection, TokenFile
from inferplan.kube.errors import ExpiredError, FencedError, NotFoundError, UnreachableError, error_of
from inferplan.kube.port import ApplyOptions
from inferplan.kube.resources import PODS, Document, Resource, Row

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
CONNECTIONS = 16
PAGE_SIZE = 500  # what kubectl and client-go ask for at once
ATTEMPTS = 4
BACKOFF_SECONDS = 0.5
RETRY_AFTER_MAX_SECONDS = 30.0
MESSAGE_LENGTH = 500

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_TEXT = "text/plain, */*"
_MANAGER = re.compile(r'conflict with "([^"]+)"')
"""How the API server names who owns a field (apimachinery managedfields, NewConflictError)."""
_RETRIED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)})

_Entry = TypeVar("_Entry")

Observe = Callable[[str, str, str], None]
"""Called for every answer with verb, resource and status code (or "error")."""


@dataclass(frozen=True)
class _Call:
    """One request. `resource` and `verb` are as RBAC names them."""

    verb: str
    resource: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    accept: str = _JSON
    content: str = _JSON

    @property
    def repeatable(self) -> bool:
        """A POST that got no answer may have worked; the queue looks again instead."""
        return self.method != "POST"


class _RetryError(Exception):
    """An answer that is worth another try, after `seconds` where the server named them."""

    def __init__(self, cause: Exception, seconds: float | None = None, *, unsent: bool = False) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.seconds = seconds
        self.unsent = unsent


class HttpCluster:
    """Implements `kube.port.Cluster`; an async context manager that owns its session.

    Args:
        connection: Where the API server is.
        observe: Told of every answer.
        may_write: Asked before each request that writes: whether this operator is the one that acts.
        sleep: Waits.
        uniform: Random number between two bounds.
    """

    def __init__(
        self,
        connection: Connection,
        observe: Observe,
        *,
        may_write: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connection = connection
        self._observe = observe
        self._may_write = may_write
        self._sleep = sleep
        self._uniform = uniform
        self._token = TokenFile(connection.token_file, time.monotonic) if connection.token_file is not None else None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = self._connection.tls
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls if tls is not None else True)
        self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        """One object."""
        return await self._send(_Call("get", resource.plural, "GET", resource.path(namespace, name)))

    async def list(self, resource: Resource, namespace: str | None, selector: str = "") -> tuple[Document, ...]:
        """All objects, read in pages."""
        params = {"labelSelector": selector} if selector else {}
        return await self._pages(resource, namespace, params, _JSON, _items)

    async def list_metadata(self, resource: Resource, namespace: str | None) -> tuple[Document, ...]:
        """All objects, metadata alone."""
        return await self._pages(resource, namespace, {}, _METADATA_ONLY, _items)

    async def list_table(self, resource: Resource, namespace: str | None) -> tuple[Row, ...]:
        """All objects, the printed columns alone: megabytes of plans are kilobytes of these."""
        return await self._pages(resource, namespace, {}, _TABLE, _rows)

    async def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> Document:
        """Creates an object."""
        return await self._send(_Call("create", resource.plural, "POST", resource.path(namespace), body=body))

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], version: str
    ) -> Document:
        """Merges into an object, bound to a resource version."""
        path = resource.path(namespace, name)
        bound = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": version}}
        return await self._send(_Call("patch", resource.plural, "PATCH", path, body=bound, content=_MERGE_PATCH))

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any], version: str | None = None
    ) -> Document:
        """Merges into the status subresource, bound to a resource version where one is given."""
        path = resource.path(namespace, name, "status")
        bound = {} if version is None else {"metadata": {"resourceVersion": version}}
        body = {**bound, "status": status}
        return await self._send(
            _Call("patch", f"{resource.plural}/status", "PATCH", path, body=body, content=_MERGE_PATCH)
        )

    async def apply(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], options: ApplyOptions
    ) -> Document:
        """Server-side apply."""
        params = {"fieldManager": options.manager, "force": str(options.force).lower()}
        if options.dry_run:
            params["dryRun"] = "All"
        path = resource.path(namespace, body["metadata"]["name"])
        return await self._send(_Call("patch", resource.plural, "PATCH", path, params, body, content=_APPLY))

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Document:
        """Puts an object in the place of the one whose resource version it carries."""
        path = resource.path(namespace, body["metadata"]["name"])
        return await self._send(_Call("update", resource.plural, "PUT", path, body=body))

    async def log(self, namespace: str, pod: str, container: str, lines: int, *, previous: bool) -> str:
        """The last lines of a container's log."""
        params = {"container": container, "tailLines": str(lines), "previous": str(previous).lower()}
        path = PODS.path(namespace, pod, "log")
        answer = await self._send(_Call("get", "pods/log", "GET", path, params, accept=_TEXT))
        return str(answer["text"])

    async def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Deletes an object; fine when it is gone already."""
        try:
            await self._send(_Call("delete", resource.plural, "DELETE", resource.path(namespace, name)))
        except NotFoundError:
            return

    async def _pages(
        self,
        resource: Resource,
        namespace: str | None,
        params: Mapping[str, str],
        accept: str,
        entries: Callable[[Document], Iterable[_Entry]],
    ) -> tuple[_Entry, ...]:
        call = _Call("list", resource.plural, "GET", resource.path(namespace), params, accept=accept)
        for _ in range(ATTEMPTS):
            try:
                return await self._all_pages(call, entries)
            except ExpiredError:
                continue
        raise UnreachableError(f"list of {resource.plural}: it expired {ATTEMPTS} times before its last page")

    async def _all_pages(self, call: _Call, entries: Callable[[Document], Iterable[_Entry]]) -> tuple[_Entry, ...]:
        found: list[_Entry] = []
        following = ""
        while True:
            page = {**call.params, "limit": str(PAGE_SIZE), **({"continue": following} if following else {})}
            answer = await self._send(replace(call, params=page))
            found += entries(answer)
            following = (answer.get("metadata") or {}).get("continue") or ""
            if not following:
                return tuple(found)

    async def _send(self, call: _Call) -> Document:
        """Sends until there is an answer to keep, at most ATTEMPTS times."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._once(call)
            except _RetryError as retry:
                if attempt + 1 == ATTEMPTS or not (call.repeatable or retry.unsent):
                    raise retry.cause from None
                await self._sleep(self._pause(attempt, retry.seconds))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, attempt: int, asked_seconds: float | None) -> float:
        """Exponential with jitter, or what Retry-After asks for."""
        own = BACKOFF_SECONDS * 2.0**attempt * self._uniform(0.5, 1.5)
        return own if asked_seconds is None else max(own, min(asked_seconds, RETRY_AFTER_MAX_SECONDS))

    async def _once(self, call: _Call) -> Document:
        if self._session is None:
            raise AssertionError("the client is used before it was entered")
        if call.method != "GET" and not self._may_write():
            raise FencedError(f"{call.method} {call.path}: not sent, another operator may act by now")
        url = self._connection.server.rstrip("/") + call.path
        data = json.dumps(call.body) if call.body is not None else None
        try:
            async with self._session.request(
                call.method, url, params=call.params, data=data, headers=self._headers(call), allow_redirects=False
            ) as response:
                text = await response.text()
                self._observe(call.verb, call.resource, str(response.status))
                return self._read(call, response.status, response.headers, text)
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            self._observe(call.verb, call.resource, "error")
            cause = UnreachableError(f"{call.method} {call.path}: {type(error).__name__}: {error}")
            raise _RetryError(cause) from None

    def _headers(self, call: _Call) -> dict[str, str]:
        headers = {"Accept": call.accept, "User-Agent": "inferplan", **self._connection.headers}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.token()}"
        if call.body is not None:
            headers["Content-Type"] = call.content
        return headers

    def _read(self, call: _Call, status: int, headers: Mapping[str, str], text: str) -> Document:
        answer = {"text": text} if call.accept == _TEXT and status == HTTPStatus.OK else _parsed(text)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and answer is not None:
            return answer
        message = str((answer or {}).get("message") or "no Kubernetes answer")[:MESSAGE_LENGTH]
        cause = error_of(status, f"{call.method} {call.path}: {message}", _managers(answer))
        if status in _RETRIED:
            raise _RetryError(cause, _seconds(headers), unsent=status == HTTPStatus.TOO_MANY_REQUESTS)
        if status == HTTPStatus.UNAUTHORIZED and self._token is not None:
            self._token.forget()
            raise _RetryError(cause, unsent=True)
        raise cause


def _items(page: Document) -> list[Document]:
    return page.get("items") or []


def _rows(page: Document) -> Iterator[Row]:
    columns = [column["name"] for column in page.get("columnDefinitions") or ()]
    for row in page.get("rows") or ():
        yield Row(row["object"]["metadata"], dict(zip(columns, row["cells"], strict=False)))


def _parsed(text: str) -> Document | None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _managers(answer: Document | None) -> tuple[str, ...]:
    """Who owns the fields that a server-side apply was refused for."""
    causes = ((answer or {}).get("details") or {}).get("causes") or ()
    owned = (cause for cause in causes if cause.get("reason") == "FieldManagerConflict")
    found = (_MANAGER.search(str(cause.get("message"))) for cause in owned)
    return tuple(dict.fromkeys(match.group(1) for match in found if match is not None))


def _seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
