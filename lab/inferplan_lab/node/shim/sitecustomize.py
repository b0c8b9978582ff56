# noqa: INP001 - found by its folder on PYTHONPATH, never imported as part of the package
"""Loaded by every Python program of a pod: gives it the pod's own address where it asks for all of them.

Pods have no network namespace here, so two servers on 0.0.0.0:8000 would clash. This moves a bind to the wildcard
address to the pod's address. Programs that aren't Python, or run with -I or -S, bind to $(POD_IP) themselves.
"""

import os
import socket
from typing import Any


def _pod_address(family: int, wanted: Any, address: str, *, v6_only: bool) -> Any:  # noqa: ANN401 - whatever bind takes
    """Return the address to bind to instead of `wanted`; only wildcard addresses change."""
    if family == socket.AF_INET and wanted[0] in {"", "0.0.0.0"}:
        return (address, *wanted[1:])
    if family == socket.AF_INET6 and wanted[0] in {"", "::"}:
        if v6_only:
            # The IPv6 half of a server that also listens on IPv4: any free port of the loopback will do.
            return ("::1", 0, *wanted[2:])
        return (f"::ffff:{address}", *wanted[1:])
    return wanted


def _install(address: str) -> None:
    original = socket.socket.bind

    def bind(self: socket.socket, wanted: Any, /) -> None:  # noqa: ANN401 - as socket.bind
        v6_only = False
        if self.family == socket.AF_INET6:
            v6_only = bool(self.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        original(self, _pod_address(self.family, wanted, address, v6_only=v6_only))

    socket.socket.bind = bind  # type: ignore[method-assign,assignment]


if _own := os.environ.get("INFERPLAN_POD_IP"):
    _install(_own)
