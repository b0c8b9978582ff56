"""Pages over real sockets: what answers badly is told, and nothing leads the fetch to another place."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientConnectorDNSError, ClientTimeout, web

from inferplan.observe import engine_pages
from inferplan.observe.addresses import system_resolver
from inferplan.observe.allow_list import DEFAULT, allow_list
from inferplan.observe.endpoint import endpoint_of
from inferplan.observe.engine_pages import EngineAccess, EnginePages, PageError, new_session

PAGE = "vllm:num_requests_running 3.0\n"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Engine:
    """A server on a free port of this machine, and the requests that it got."""

    port: int
    requests: list[web.Request] = field(default_factory=list)


@asynccontextmanager
async def engine(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[Engine]:
    found = Engine(0)

    async def handle(request: web.Request) -> web.StreamResponse:
        found.requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        found.port = runner.addresses[0][1]
        yield found
    finally:
        await runner.cleanup()


async def ok(request: web.Request) -> web.Response:
    return web.json_response({"version": "0.33.0"}) if request.path == "/version" else web.Response(text=PAGE)


async def fetch(port: int, address: str = "127.0.0.1") -> str:
    async with new_session() as session:
        return await EnginePages(session).page(address, port)


async def test_a_page_and_a_version_are_fetched_and_the_host_is_kept() -> None:
    async with engine(ok) as server, new_session() as session:
        door = EngineAccess(allow_list(DEFAULT), EnginePages(session))
        opened = await door.open(endpoint_of(f"http://localhost:{server.port}"))
        assert await opened.page() == PAGE
        assert await opened.version() == "0.33.0"
        assert [request.path for request in server.requests] == ["/metrics", "/version"]
        assert {request.headers["Host"] for request in server.requests} == {f"localhost:{server.port}"}
        assert all("Cookie" not in request.headers for request in server.requests)


async def test_an_engine_on_ipv6_is_found_under_localhost() -> None:
    async with engine(ok, "::1") as server, new_session() as session:
        door = EngineAccess(allow_list(DEFAULT), EnginePages(session))
        assert await (await door.open(endpoint_of(f"localhost:{server.port}"))).page() == PAGE
        assert await (await door.open(endpoint_of(f"[::1]:{server.port}"))).page() == PAGE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["http://169.254.169.254/latest/meta-data/", "/elsewhere", "//[fd00:ec2::254]/"])
async def test_a_redirect_is_not_followed(status: int, to: str) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": to})

    async with engine(redirect) as server:
        with pytest.raises(PageError, match=rf"answers with a redirect \({status}\), which is not followed"):
            await fetch(server.port)
        assert [request.path for request in server.requests] == ["/metrics"]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine(ok) as proxy, engine(ok) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await fetch(server.port) == PAGE
        assert proxy.requests == []


async def test_cookies_are_not_kept() -> None:
    async def cookie(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, headers={"Set-Cookie": "a=b"})

    async with engine(cookie) as server, new_session() as session:
        for _ in range(2):
            await EnginePages(session).page("127.0.0.1", server.port)
        assert all("Cookie" not in request.headers for request in server.requests)


async def test_a_page_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_pages, "PAGE_MAX_BYTES", 64 * 1024)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"a 1\n" * 1024)

    async with engine(endless) as server:
        with pytest.raises(PageError, match=r"^/metrics is larger than 64 KiB$"):
            await fetch(server.port)


async def test_a_page_of_which_less_comes_than_its_header_says_is_told() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2 * len(PAGE))})
        await response.prepare(request)
        await response.write(PAGE.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    async with engine(half) as server:
        with pytest.raises(PageError, match="/metrics cannot be read: "):
            await fetch(server.port)


async def test_a_page_that_says_that_it_is_too_large_is_not_read() -> None:
    async def huge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(10**12)})
        await response.prepare(request)
        return response

    async with engine(huge) as server:
        with pytest.raises(PageError, match="is larger than 16384 KiB"):
            await fetch(server.port)


async def test_a_compressed_page_is_refused_and_not_inflated() -> None:
    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"a" * 10**6), headers={"Content-Encoding": "gzip"})

    async with engine(bomb) as server:
        with pytest.raises(PageError, match="compressed"):
            await fetch(server.port)


@pytest.mark.parametrize("status", [404, 401, 500, 204])
async def test_another_status_is_told(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with engine(answer) as server:
        with pytest.raises(PageError, match=f"^/metrics answers with status {status}$"):
            await fetch(server.port)


async def test_a_page_that_is_no_text_is_told() -> None:
    async def binary(_: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xfe")

    async with engine(binary) as server:
        with pytest.raises(PageError, match="no UTF-8"):
            await fetch(server.port)


async def test_an_engine_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_pages, "TIMEOUT", ClientTimeout(total=0.2))

    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with engine(hang) as server:
        with pytest.raises(PageError, match=r"^/metrics does not answer within 0\.2 s$"):
            await fetch(server.port)


async def test_a_closed_port_and_a_server_that_speaks_no_http_are_told_in_one_line() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(PageError, match=r"^/metrics cannot be read: ") as refused:
            await fetch(port)
        assert "\n" not in str(refused.value)
    with pytest.raises(PageError, match=r"^/metrics cannot be read: Connection refused$"):
        await fetch(port)


async def test_the_machines_own_resolver_gives_addresses() -> None:
    assert set(await system_resolver("localhost", 80)) <= {"127.0.0.1", "::1"}


async def test_a_name_that_is_rebound_between_two_pages_is_still_the_checked_address() -> None:
    answers = [("127.0.0.1",), ("169.254.169.254",), ("10.0.0.1",)]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        asked.append(f"{host}:{port}")
        return answers[len(asked) - 1]

    async with engine(ok) as server, new_session() as session:
        door = EngineAccess(allow_list(["engine.lab", "127.0.0.1"]), EnginePages(session), rebinding)
        opened = await door.open(endpoint_of(f"engine.lab:{server.port}"))
        for _ in range(3):
            assert await opened.page() == PAGE
        assert await opened.version() == "0.33.0"
        assert asked == [f"engine.lab:{server.port}"]
        assert {request.headers["Host"] for request in server.requests} == {f"engine.lab:{server.port}"}


async def test_a_session_for_pages_looks_no_name_up() -> None:
    async with new_session() as session:
        with pytest.raises(ClientConnectorDNSError, match="names are not looked up here"):
            await session.get("http://localhost:1/metrics")
