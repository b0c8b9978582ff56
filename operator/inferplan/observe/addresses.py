"""Where an endpoint is that a user names: only what the administrator's list has, checked address by address."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from socket import SOCK_STREAM

from inferplan.observe.allow_list import AllowList, unmapped
from inferplan.observe.endpoint import Address, Endpoint, address_of

RESOLVE_SECONDS = 2.0

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name. Raises OSError where there are none."""


class NotAllowedError(Exception):
    """The administrator's list does not have the endpoint; one line for people. Nothing was connected to."""


class NoAddressError(Exception):
    """A name cannot be looked up; one line for people."""


async def allowed_addresses(allowed: AllowList, endpoint: Endpoint, resolve: Resolve) -> tuple[Address, ...]:
    """The addresses of an endpoint, at least one. A name is looked up only where the list has it.

    Args:
        allowed: The list.
        endpoint: What a user names.
        resolve: Looks names up.

    Raises:
        NotAllowedError: The list does not have it, or not all that its name resolves to.
        NoAddressError: Its name cannot be looked up.
    """
    known = allowed.known_addresses(endpoint)
    addresses = await _looked_up(allowed, endpoint, resolve) if known is None else known
    if not addresses:
        raise NotAllowedError(f"{endpoint} is not on the administrator's list, and was not connected to")
    return addresses


async def _looked_up(allowed: AllowList, endpoint: Endpoint, resolve: Resolve) -> tuple[Address, ...]:
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            texts = await resolve(endpoint.host, endpoint.port)
    except TimeoutError:
        raise NoAddressError(f"{endpoint.host} was not found within {RESOLVE_SECONDS:g} s") from None
    except (OSError, UnicodeError) as error:
        raise NoAddressError(f"{endpoint.host} was not found: {_told(error)}") from None
    found = tuple(address for text in dict.fromkeys(texts) if (address := address_of(text)) is not None)
    bad = next((entry for entry in found if not allowed.allows_resolved(entry, endpoint.port)), None)
    if bad is not None or len(found) < len(set(texts)):
        raise NotAllowedError(
            f"{endpoint.host} resolves to {bad or 'what is no address'}, which is not on the administrator's"
            " list; it was not connected to"
        )
    return tuple(map(unmapped, found))


async def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """The addresses that the machine's own resolver gives."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return tuple(str(address[0]) for *_, address in found)


def _told(error: Exception) -> str:
    """The cause without host and port, which are told already."""
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
