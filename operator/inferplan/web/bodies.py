"""Bodies of requests, bounded."""

from fastapi import Request

BODY_BYTES_MAX = 1024 * 1024


class BodyTooLargeError(ValueError):
    """The request's body exceeds BODY_BYTES_MAX."""


async def body_of(request: Request) -> bytes:
    """The body, refused as soon as it is known to be too large.

    Raises:
        BodyTooLargeError: It is larger than BODY_BYTES_MAX.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > BODY_BYTES_MAX:
        raise BodyTooLargeError
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLargeError
    return bytes(body)
