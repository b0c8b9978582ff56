"""Which addresses InferPlan may connect to because a request names them: the administrator's list. Pure.

A request names any host and port it likes. What is not on the list is not connected to, and its name is not even
looked up; what a name resolves to is checked address by address before one of them is connected to.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from inferplan.observe.endpoint import Address, Endpoint, EndpointError, address_of, host_name, port_of, shown

Network = IPv4Network | IPv6Network

DEFAULT = ("127.0.0.0/8", "::1")
"""This machine alone."""

_LOCALHOST = "localhost"
_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
"""What `localhost` is (RFC 6761), so that nobody has to be asked."""

_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this network": 0.0.0.0 connects to this machine
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # metadata of Azure (WireServer)
        "169.254.0.0/16",  # link-local, and with 169.254.169.254 the metadata of most clouds
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and 255.255.255.255 is broadcast
        "::/128",  # unspecified
        "2001::/32",  # Teredo: hides an IPv4 address in a way that is not undone here
        "64:ff9b:1::/48",  # NAT64 of a local prefix: so does it
        "fd00:ec2::/32",  # AWS' own services: metadata (::254), credentials of EKS pods (::23), DNS, time
        "fd20:ce::254/128",  # metadata of Google Cloud
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, which nobody has any more
        "ff00::/8",  # multicast
    )
)
"""Never meant by a range: allowed only where the list has exactly this address."""

_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"))
"""NAT64 (RFC 6052) and SIIT (RFC 2765): a gateway makes the IPv4 address of their last 32 bits."""

_IPV4_COMPATIBLE = IPv6Network("::/96")


class AllowListError(ValueError):
    """An entry that cannot be used; one line for people."""


@dataclass(frozen=True)
class _Range:
    """Addresses, with a port or with all."""

    network: Network
    port: int | None

    def has(self, address: Address, port: int) -> bool:
        return self.port in {None, port} and address.version == self.network.version and address in self.network

    def is_exactly(self, address: Address, port: int) -> bool:
        return self.network.num_addresses == 1 and self.has(address, port)


@dataclass(frozen=True)
class AllowList:
    """What an administrator allows.

    Attributes:
        ranges: Addresses.
        names: Host names in lower case, each with a port or with None for all.
    """

    ranges: tuple[_Range, ...] = ()
    names: frozenset[tuple[str, int | None]] = frozenset()

    def names_host(self, endpoint: Endpoint) -> bool:
        """Whether the list has this host name; only then may it be looked up."""
        return not self.names.isdisjoint({(endpoint.host, None), (endpoint.host, endpoint.port)})

    def known_addresses(self, endpoint: Endpoint) -> tuple[Address, ...] | None:
        """Allowed addresses of an endpoint that needs no look-up, empty when none is; None when it needs one."""
        if endpoint.address is not None:
            candidates: Sequence[Address] = (endpoint.address,)
        elif endpoint.host == _LOCALHOST:
            candidates = _LOOPBACK
        elif self.names_host(endpoint):
            return None
        else:
            candidates = ()
        return tuple(unmapped(entry) for entry in candidates if self.allows_address(entry, endpoint.port))

    def allows_address(self, address: Address, port: int) -> bool:
        """Whether an address that a request names may be connected to; with all that is hidden in it."""
        return all(self._has(form, port) for form in _forms(address))

    def allows_resolved(self, address: Address, port: int) -> bool:
        """Whether an address that a name on the list resolves to may be connected to.

        Who lists a name trusts it to say where it is, but not that this is inside this machine or a metadata
        service: whoever answers for the name could say so.
        """
        return all(self._has(form, port) or not (form.is_loopback or _is_special(form)) for form in _forms(address))

    def _has(self, address: Address, port: int) -> bool:
        if _is_special(address):
            return any(entry.is_exactly(address, port) for entry in self.ranges)
        return any(entry.has(address, port) for entry in self.ranges)


def allow_list(entries: Iterable[str]) -> AllowList:
    """Reads entries: `10.0.0.0/8`, `10.1.2.3:8000`, `fd00::/8`, `[fd00::1]:8000`, `engine.lab`, `engine.lab:8000`.

    Raises:
        AllowListError: One is none of these.
    """
    ranges: list[_Range] = []
    names: set[tuple[str, int | None]] = set()
    for entry in entries:
        try:
            place, port = _with_port(entry.strip())
            network = _network(place)
            if network is not None:
                ranges.append(_Range(network, port))
            else:
                names.add((host_name(place), port))
        except (EndpointError, ValueError) as error:
            raise AllowListError(
                f"{shown(entry)} is no address, CIDR or host name, with or without port: {error}"
            ) from None
    return AllowList(tuple(ranges), frozenset(names))


def unmapped(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one (::ffff:127.0.0.1), as what it is."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _with_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        place, end, rest = entry[1:].partition("]")
        if not end or ":" not in place or (rest and not rest.startswith(":")):
            raise EndpointError("brackets hold an IPv6 address, and only a port follows them")
        return place, port_of(rest[1:]) if rest else None
    if entry.count(":") == 1:
        place, port = entry.split(":")
        return place, port_of(port)
    return entry, None


def _network(place: str) -> Network | None:
    """The addresses that an entry names; None for a host name.

    Raises:
        ValueError: A CIDR with bits behind its prefix, or a prefix that is none.
    """
    if "/" not in place:
        address = address_of(place)
        return None if address is None else ipaddress.ip_network(unmapped(address))
    return ipaddress.ip_network(place)


def _is_special(address: Address) -> bool:
    return any(address.version == network.version and address in network for network in _SPECIAL)


def _forms(address: Address) -> Iterator[Address]:
    """The address, and every IPv4 address that a gateway would make of it."""
    plain = unmapped(address)
    yield plain
    if isinstance(plain, IPv6Address):
        yield from _embedded(plain)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    if address.sixtofour is not None:
        yield address.sixtofour
    compatible = address in _IPV4_COMPATIBLE and int(address) > 1  # :: and ::1 hide nothing
    if compatible or any(address in network for network in _TRANSLATED):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
