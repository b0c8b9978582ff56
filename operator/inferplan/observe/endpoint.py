"""`host:port` as people write it → host and port in the one spelling that is compared and connected to. Pure.

Only plain spellings are read. An address that a C library would understand and a person would not (127.1,
2130706433, 0x7f.1) could pass a check as a name and be connected to as an address.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from typing_extensions import override

Address = IPv4Address | IPv6Address

_PORT_MAX = 65_535
_HOST_MAX = 253  # RFC 1035
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,6}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(.*):([0-9]+)", re.DOTALL)
_SHOWN_MAX = 80


class EndpointError(ValueError):
    """A host and port that cannot be used; one line for people."""


@dataclass(frozen=True)
class Endpoint:
    """Where an engine listens.

    Attributes:
        host: Address or name, in lower case, an IPv6 address without brackets.
        address: The host, where it is an address; None where it is a name.
        port: TCP port, 1 to 65535.
    """

    host: str
    address: Address | None
    port: int

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if isinstance(self.address, IPv6Address) else f"{self.host}:{self.port}"


def is_endpoint(text: str) -> bool:
    """Whether a text means a host and port or a URL, well spelled or not, rather than a name."""
    if _SCHEME.fullmatch(text) is not None or text.startswith("["):
        return True
    return _HOST_AND_PORT.fullmatch(re.split(r"[/?#]", text, maxsplit=1)[0]) is not None


def endpoint_of(text: str) -> Endpoint:
    """Reads `host:port`, `[IPv6]:port` or `http://host:port`.

    Raises:
        EndpointError: It is spelled in another way.
    """
    rest = _without_scheme(text).removesuffix("/")
    found = _HOST_AND_PORT.fullmatch(rest)
    if found is None:
        raise EndpointError(f"{shown(text)} is no host:port, [IPv6 address]:port or http://host:port")
    host, port = found.groups()
    return Endpoint(*_host(host, text), port_of(port))


def _host(host: str, text: str) -> tuple[str, Address | None]:
    if host.startswith("[") and host.endswith("]"):
        address = _ipv6(host[1:-1])
        if address is None:
            raise EndpointError(f"{shown(text)}: {shown(host)} is no IPv6 address in brackets")
        return str(address), address
    if ":" in host:
        raise EndpointError(f"{shown(text)}: an IPv6 address stands in brackets, as in [::1]:8000")
    try:
        found = address_of(host)
        return (host_name(host), None) if found is None else (str(found), found)
    except EndpointError as error:
        raise EndpointError(f"{shown(text)}: {error}") from None


def _without_scheme(text: str) -> str:
    found = _SCHEME.fullmatch(text)
    if found is None:
        return text
    scheme, rest = found.groups()
    if scheme.lower() != "http":
        raise EndpointError(f"{shown(text)}: {shown(scheme)} is not allowed; engines are asked over http")
    return str(rest)


def address_of(host: str) -> Address | None:
    """The address that a text is in its usual spelling; None where it is none."""
    try:
        return IPv4Address(host) if host.isascii() else None
    except ValueError:
        return _ipv6(host)


def _ipv6(text: str) -> IPv6Address | None:
    """No zone (fe80::1%eth0): it names an interface of this machine."""
    try:
        return IPv6Address(text) if text.isascii() and "%" not in text else None
    except ValueError:
        return None


def host_name(host: str) -> str:
    """A DNS name in lower case, as it is compared.

    Raises:
        EndpointError: It is none, or one that a resolver may take for an address.
    """
    name = host.lower() if host.isascii() else ""
    labels = name.split(".")
    if not 1 <= len(name) <= _HOST_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise EndpointError(f"{shown(host)} is no address and no host name (ASCII letters, digits, - and .)")
    if _NUMBER.fullmatch(labels[-1]):
        raise EndpointError(f"{shown(host)} is no address in its usual spelling, as in 127.0.0.1")
    return name


def port_of(text: str) -> int:
    """A TCP port.

    Raises:
        EndpointError: It is none.
    """
    port = int(text) if _PORT.fullmatch(text) else 0
    if not 1 <= port <= _PORT_MAX:
        raise EndpointError(f"{shown(text)} is no port from 1 to {_PORT_MAX}")
    return port


def shown(text: str) -> str:
    """A text in quotes, short, on one line."""
    plain = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{plain}"' if len(plain) <= _SHOWN_MAX else f'"{plain[:_SHOWN_MAX]}…"'
