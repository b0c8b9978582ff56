"""Sessions for forges' APIs: to addresses that the administrator's list allows only, checked when they are dialled."""

import socket
from socket import AddressFamily

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from inferplan.observe.addresses import NoAddressError, NotAllowedError, Resolve, allowed_addresses
from inferplan.observe.allow_list import AllowList
from inferplan.observe.endpoint import Endpoint, EndpointError, host_name

CONNECTIONS = 8


class CheckedResolver(AbstractResolver):
    """Looks up what the list has, and gives the addresses that it allows.

    Args:
        allowed: The administrator's list.
        resolve: Looks names up.
    """

    def __init__(self, allowed: AllowList, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve

    @override
    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        try:
            addresses = await allowed_addresses(self._allowed, Endpoint(host_name(host), None, port), self._resolve)
        except (NotAllowedError, NoAddressError, EndpointError) as error:
            raise OSError(str(error)) from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,  # noqa: PLR2004  IP version
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    @override
    async def close(self) -> None:
        return


def forge_session(allowed: AllowList, resolve: Resolve) -> aiohttp.ClientSession:
    """A session without cookies, proxies, names that are not on the list, and decompression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=CONNECTIONS, resolver=CheckedResolver(allowed, resolve), use_dns_cache=False, force_close=True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
