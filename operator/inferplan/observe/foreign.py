"""What foreign servers send: as it is, and no more of it than may be."""

import aiohttp

_CHUNK_BYTES = 64 * 1024


def is_compressed(response: aiohttp.ClientResponse) -> bool:
    """Whether the body is compressed, which nobody asks for: a small answer could be a large one."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


async def body_within(response: aiohttp.ClientResponse, most_bytes: int) -> bytes | None:
    """The body; None where it is larger, by what its header says or as it comes."""
    stated = response.headers.get("Content-Length", "")
    if stated.isdecimal() and int(stated) > most_bytes:
        return None
    body = bytearray()
    async for part in response.content.iter_chunked(_CHUNK_BYTES):
        body += part
        if len(body) > most_bytes:
            return None
    return bytes(body)
