"""The client of Prometheus against servers on loopback that hang, trickle, break off, lie and redirect."""

import asyncio
import json
import socket
import time
from typing import Any

import pytest
from tests.support.prometheus_client import FINE, GENEROUS_SECONDS, SECRET, SERIES, client, refused, refused_by, vector
from tests.support.raw_server import Asked, Write, http, raw_server, writes

from inferplan.observe.prometheus import clock_skew_seconds

MIB = 1024**2


async def hang(_: Asked, __: Write) -> None:
    await asyncio.Event().wait()


async def test_a_server_that_hangs_is_given_up_in_time() -> None:
    async with raw_server(hang) as server, client(server.url) as prometheus:
        assert await refused(prometheus) == "no whole answer within 1 s"


async def test_sixteen_queries_to_a_server_that_hangs_take_two_rounds() -> None:
    async with raw_server(hang) as server, client(server.url) as prometheus:
        started = time.monotonic()
        found = await asyncio.gather(*(refused(prometheus) for _ in range(16)))
        assert set(found) == {"no whole answer within 1 s"}
        assert 2.0 <= time.monotonic() - started < GENEROUS_SECONDS  # eight at once, 1 s each
        assert len(server.asked) == 16


async def test_a_server_that_takes_no_connection_is_tried_three_times() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        async with client(f"http://127.0.0.1:{taken.getsockname()[1]}") as prometheus:
            assert await refused(prometheus) == "it could not be asked (ConnectionRefusedError)"


async def test_a_name_that_no_dns_knows_is_an_error() -> None:
    async with client("http://prometheus.invalid") as prometheus:
        assert await refused(prometheus) in ("it could not be asked (gaierror)", "no whole answer within 1 s")


@pytest.mark.parametrize("whole", [http(200, FINE), http(200, FINE)[:40]])
async def test_bytes_that_trickle_do_not_keep_the_query_waiting(whole: bytes) -> None:
    async def trickle(_: Asked, write: Write) -> None:
        for at in range(len(whole)):
            await write(whole[at : at + 1])
            await asyncio.sleep(0.1)

    async with raw_server(trickle) as server:
        assert await refused_by(server) == "no whole answer within 1 s"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        http(200, FINE)[:-20],  # less than its Content-Length
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + FINE[:50],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + FINE[:5] + b"\r\n",  # without a last chunk
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + FINE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + FINE[:-20],
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + FINE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + FINE,
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n" + FINE,
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n" + FINE,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2 " + SECRET.encode() + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01" * 50,
        b"\x00" * 10_000,
        b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        http(200, b"\x1f\x8b\x08\x00" + b"x" * 50, content_encoding="gzip"),
        http(200, b"<html>" + SECRET.encode()),
        http(200, b""),
        http(204),
        http(404, SECRET.encode()),
        http(502, b"<html>" + SECRET.encode(), content_type="text/html"),
        http(501),
        http(400, b'{"status": "error", "errorType": "bad_data", "error": "' + SECRET.encode() + b'"}'),
        http(200, vector(SERIES, SERIES)),
        http(200, FINE.replace(b'"2"', b'"abc"')),
        http(200, FINE.replace(b"vector", b"matrix")),
        http(200, b"[" * 200_000),
    ],
)
async def test_an_answer_that_is_none_is_an_error(answer: bytes) -> None:
    async with raw_server(writes(answer)) as server:
        assert await refused_by(server, timeout_seconds=3)
        assert len(server.asked) <= 3


async def test_a_connection_that_breaks_once_is_asked_again() -> None:
    async with raw_server(writes(http(200, FINE)[:-20], b"", http(200, FINE))) as server:
        async with client(server.url, timeout_seconds=10) as prometheus:
            assert [sample.value for sample in (await prometheus.query("up")).samples] == [2.0]
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    async with raw_server(writes(http(status, retry_after="1"), http(200, FINE))) as server:
        async with client(server.url, timeout_seconds=10) as prometheus:
            started = time.monotonic()
            assert len((await prometheus.query("up")).samples) == 1
            assert time.monotonic() - started >= 1.0
        assert len(server.asked) == 2


async def test_a_wait_beyond_the_querys_time_is_not_begun() -> None:
    async with raw_server(writes(http(503, retry_after="600"))) as server:
        assert await refused_by(server) == "it answers with HTTP status 503"
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with raw_server(writes(http(200, FINE))) as other:
        async with raw_server(writes(http(status, location=f"{other.url}/api/v1/query"))) as server:
            assert (await refused_by(server)).startswith("it redirects, which is not followed")
        assert other.asked == []


async def test_a_redirect_to_a_metadata_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []
    inner = asyncio.get_running_loop().sock_connect

    async def connect(sock: socket.socket, address: Any) -> None:
        connected.append(address[0])
        await inner(sock, address)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    where = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    async with raw_server(writes(http(302, location=where, refresh=f"0; url={where}"))) as server:
        assert (await refused_by(server)).startswith("it redirects")
    assert connected == ["127.0.0.1"]


async def test_fifty_megabytes_are_given_up_at_the_limit() -> None:
    async def endless(_: Asked, write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _part in range(50):
            await write(b"100000\r\n" + b" " * MIB + b"\r\n")

    async with raw_server(endless) as server:
        assert await refused_by(server, response_max_mib=4, timeout_seconds=15) == "its answer is larger than 4 MiB"
        assert server.sent < 20 * MIB  # the limit and what lay in the sockets' buffers
        assert len(server.asked) == 1


async def test_an_answer_that_says_it_has_fifty_megabytes_is_not_read() -> None:
    async def large(_: Asked, write: Write) -> None:
        await write(http(200, content_length=str(50 * MIB)))
        await asyncio.Event().wait()

    async with raw_server(large) as server:
        assert await refused_by(server, response_max_mib=4, timeout_seconds=15) == "its answer is larger than 4 MiB"


async def test_a_large_answer_within_the_limit_is_read_while_others_work() -> None:
    rows = [{"metric": {"pod": f"llama-{row}", "le": "0.5"}, "value": [1.5, "2"]} for row in range(40_000)]
    body = vector(*rows)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    async with raw_server(writes(http(200, body))) as server, client(server.url, timeout_seconds=60) as prometheus:
        ticking = asyncio.create_task(tick())
        answer = await prometheus.query("up")
        ticking.cancel()
    assert len(body) > 2 * MIB
    assert len(answer.samples) == 40_000
    assert ticks > 10


async def test_a_query_that_is_cancelled_ends_and_gives_its_turn_back() -> None:
    reached = asyncio.Event()

    async def hang_once(_: Asked, write: Write) -> None:
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        await write(http(200, FINE))

    async with raw_server(hang_once) as server, client(server.url, timeout_seconds=60) as prometheus:
        work = asyncio.create_task(prometheus.query("up"))
        await reached.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        found = await asyncio.gather(*(prometheus.query("up") for _ in range(20)))
        assert len(found) == 20


async def test_the_servers_wrong_clock_is_seen() -> None:
    async with raw_server(writes(http(200, FINE))) as server, client(server.url) as prometheus:
        assert clock_skew_seconds(await prometheus.query("up"), 700.5) == 300.0


async def test_a_range_is_asked_for_and_read() -> None:
    rows = [{"metric": {"pod": "a"}, "values": [[0, "1"], [60, "2"]]}]
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": rows}}).encode()
    async with raw_server(writes(http(200, body))) as server, client(f"{server.url}/prometheus/") as prometheus:
        found = await prometheus.query_range("up", 0, 60, 60)
        assert found.series[0].points == ((0.0, 1.0), (60.0, 2.0))
        (asked,) = server.asked
    assert asked.path == "/prometheus/api/v1/query_range"
    assert asked.form == {"query": "up", "start": "0.000", "end": "60.000", "step": "60.000"}
