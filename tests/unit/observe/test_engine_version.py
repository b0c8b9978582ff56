"""An engine's /version: a version or nothing."""

import aiohttp
import pytest
from tests.support.sessions import Answer, FakeSession

from inferplan.observe.engine_pages import VERSION_MAX_BYTES, EnginePages


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"version": "0.33.0"}', "0.33.0"),
        (b'{"version": "v0.5.23"}', "0.5.23"),
        (b'{"version": "0.33.1.dev12+g0a1b2c3"}', "0.33.1.dev12+g0a1b2c3"),
        (b'{"version": "0.33.0; rm -rf /"}', None),
        (b'{"version": 33}', None),
        (b'{"version": ""}', None),
        (b'["0.33.0"]', None),
        (b"<html>", None),
        (b"[" * 60_000, None),
        (b"", None),
    ],
)
async def test_only_a_version_is_taken(body: bytes, version: str | None) -> None:
    session = FakeSession(Answer(200, body))
    assert await EnginePages(session).version("10.0.0.1", 8000) == version  # type: ignore[arg-type]
    assert session.asked[0]["url"] == "http://10.0.0.1:8000/version"
    assert session.asked[0]["allow_redirects"] is False


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(404, b'{"version": "0.33.0"}'),
        Answer(200, b'{"version": "0.33.0"}' + b" " * VERSION_MAX_BYTES),
        aiohttp.ClientConnectionError("refused"),
        TimeoutError(),
        ValueError("bad URL"),
    ],
)
async def test_trouble_is_no_version(trouble: Answer | Exception) -> None:
    session = FakeSession(trouble)
    assert await EnginePages(session).version("10.0.0.1", 8000) is None  # type: ignore[arg-type]


async def test_an_ipv6_address_is_bracketed() -> None:
    session = FakeSession(Answer(200, b'{"version": "0.33.0"}'))
    await EnginePages(session).version("fd00::1", 8000)  # type: ignore[arg-type]
    assert session.asked[0]["url"] == "http://[fd00::1]:8000/version"
