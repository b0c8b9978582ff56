"""Fetches an engine's /metrics page and its version: from exactly the address that it is told, and nothing else.

No name is resolved, no redirect followed, no proxy or cookie used. Where the address comes from, and whether it may
be connected to, is decided before: the operator knows its pods' addresses, a request's are checked by `EngineAccess`.
"""

import asyncio
import json
import os
import re
from ipaddress import ip_address
from socket import EAI_NONAME, AddressFamily, gaierror

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from inferplan.observe.addresses import NoAddressError, Resolve, allowed_addresses, system_resolver
from inferplan.observe.allow_list import AllowList
from inferplan.observe.endpoint import Address, Endpoint
from inferplan.observe.foreign import body_within, is_compressed

PAGE_MAX_BYTES = 16 * 1024 * 1024
"""A large vLLM page has 1 MiB; beyond this it is something else, or an attack on our memory."""

VERSION_MAX_BYTES = 64 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
CONNECTIONS = 32
_VERSION = re.compile(r"^[0-9]+\.[0-9]+(\.[0-9]+)?([.+-][0-9A-Za-z.+-]{1,20})?$")
_OK = 200


class PageError(Exception):
    """There is no page; one line for people."""


class EnginePages:
    """Engines' pages.

    Args:
        session: As `new_session` makes it.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def page(self, address: str, port: int, host: str | None = None) -> str:
        """The text of /metrics.

        Args:
            address: IP address that is connected to.
            port: Its port.
            host: What the Host header says; by default address and port.

        Raises:
            PageError: Nothing answers within 5 s, or not with a page.
        """
        body = await self._get("/metrics", address, port, host, PAGE_MAX_BYTES)
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            raise PageError("/metrics is no UTF-8 text") from None

    async def version(self, address: str, port: int, host: str | None = None) -> str | None:
        """What the engine says on /version; None when it says nothing, or no version."""
        try:
            return read_version(await self._get("/version", address, port, host, VERSION_MAX_BYTES))
        except PageError:
            return None

    async def _get(self, path: str, address: str, port: int, host: str | None, most: int) -> bytes:
        place = _authority(address, port)
        headers = {"Host": host or place, "Accept": "text/plain, application/json", "Accept-Encoding": "identity"}
        try:
            async with self._session.get(f"http://{place}{path}", allow_redirects=False, headers=headers) as response:
                _check(response, path)
                body = await body_within(response, most)
        except TimeoutError:
            raise PageError(f"{path} does not answer within {TIMEOUT.total:g} s") from None
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise PageError(f"{path} cannot be read: {_told(error)}") from None
        if body is None:
            raise PageError(f"{path} is larger than {most // 1024} KiB")
        return body


class EngineAccess:
    """Engines that a request names: only those that the administrator's list has.

    Args:
        allowed: The list.
        pages: Fetches.
        resolve: Looks names up.
    """

    def __init__(self, allowed: AllowList, pages: EnginePages, resolve: Resolve | None = None) -> None:
        self._allowed = allowed
        self._pages = pages
        self._resolve = resolve or system_resolver

    async def open(self, endpoint: Endpoint) -> "CheckedEngine":
        """Checks where the endpoint is, once. A name is looked up only where the list has it.

        Raises:
            NotAllowedError: The list does not have it, or not all that its name resolves to.
            PageError: Its name cannot be looked up.
        """
        try:
            addresses = await allowed_addresses(self._allowed, endpoint, self._resolve)
        except NoAddressError as error:
            raise PageError(str(error)) from None
        return CheckedEngine(self._pages, endpoint, addresses)


class CheckedEngine:
    """An engine at addresses that were checked; its name is not looked up again.

    Args:
        pages: Fetches.
        endpoint: As the request has it.
        addresses: Where it is, at least one.
    """

    def __init__(self, pages: EnginePages, endpoint: Endpoint, addresses: tuple[Address, ...]) -> None:
        self._pages = pages
        self._endpoint = endpoint
        self._addresses = addresses

    async def page(self) -> str:
        """The text of /metrics, from the first address that answers; later pages come from the same one.

        Raises:
            PageError: None answers with a page.
        """
        for number, address in enumerate(self._addresses, 1):
            try:
                text = await self._pages.page(str(address), self._endpoint.port, str(self._endpoint))
            except PageError:
                if number == len(self._addresses):
                    raise
            else:
                self._addresses = (address,)
                return text
        raise PageError(f"{self._endpoint} has no address")

    async def version(self) -> str | None:
        """What it says on /version, at the address that gave the page."""
        return await self._pages.version(str(self._addresses[0]), self._endpoint.port, str(self._endpoint))


def new_session(connections: int = CONNECTIONS) -> aiohttp.ClientSession:
    """A session that connects to addresses only, and takes nothing from environment, cookies or earlier answers."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, resolver=_NoNames(), use_dns_cache=False, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=TIMEOUT,
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "inferplan"},
    )


class _NoNames(AbstractResolver):
    """Only addresses reach the connector; a name here would be a mistake, and goes nowhere."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        raise gaierror(EAI_NONAME, f"{host} is no address, and names are not looked up here")

    @override
    async def close(self) -> None:
        return


def read_version(body: bytes) -> str | None:
    """The version in an answer such as {"version": "0.33.0"}; None when there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, str):
        return None
    plain = version.removeprefix("v")
    return plain if _VERSION.match(plain) else None


def _authority(address: str, port: int) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise PageError(f'"{address}" is no IP address') from None
    return f"[{parsed}]:{port}" if parsed.version == 6 else f"{parsed}:{port}"  # noqa: PLR2004  IP version


def _check(response: aiohttp.ClientResponse, path: str) -> None:
    if 300 <= response.status < 400:  # noqa: PLR2004  redirects
        raise PageError(f"{path} answers with a redirect ({response.status}), which is not followed")
    if response.status != _OK:
        raise PageError(f"{path} answers with status {response.status}")
    if is_compressed(response):
        raise PageError(f"{path} answers compressed, which was not asked for")


def _told(error: Exception) -> str:
    """The cause without host and port, which are told already."""
    number = getattr(error, "errno", None)
    if number is not None and number > 0 and not isinstance(error, gaierror):
        return os.strerror(number)
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
