"""Asks a running engine for its version: GET http://<pod>:<port>/version."""

import asyncio
import json
import re

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=2)
RESPONSE_MAX_BYTES = 64 * 1024
_VERSION = re.compile(r"^[0-9]+\.[0-9]+(\.[0-9]+)?([.+-][0-9A-Za-z.+-]{1,20})?$")


class EngineEndpoint:
    """Engines' own HTTP endpoints.

    Args:
        session: Session with `auto_decompress` off.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def version(self, address: str, port: int) -> str | None:
        """What the engine says; None when it says nothing within 2 s, or no version."""
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._session.get(
                f"http://{host}:{port}/version",
                timeout=TIMEOUT,
                allow_redirects=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "inferplan"},
            ) as response:
                if not response.ok:
                    return None
                return read_version(await _limited(response))
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError):
            return None


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for part in response.content.iter_chunked(RESPONSE_MAX_BYTES):
        body += part
        if len(body) > RESPONSE_MAX_BYTES:
            return b""
    return body


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
