"""The HTTP service on real sockets: as a part of another process, and `inferplan serve` that asks a running engine."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from tests.support.web import scrapes

from inferplan.web.app import create_app
from inferplan.web.server import CannotListenError, serving

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def test_a_part_of_a_process_leaves_signals_alone_and_stops_with_it() -> None:
    before = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    port = free_port()
    async with serving(create_app(lambda: NOW), "127.0.0.1", port), ClientSession() as session:
        assert [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)] == before
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        started = time.monotonic()  # the session keeps its connection open, as a probe does
    assert time.monotonic() - started < 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


async def test_an_answer_that_takes_long_does_not_hold_up_the_end() -> None:
    app = create_app(lambda: NOW)
    asked = asyncio.Event()

    @app.get("/slow")
    async def slow() -> None:
        asked.set()
        await asyncio.sleep(60)

    async def ask(port: int) -> int:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/slow") as answer:
            return answer.status

    port = free_port()
    async with serving(app, "127.0.0.1", port):
        asking = asyncio.create_task(ask(port))
        async with asyncio.timeout(5):
            await asked.wait()
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert await asking == 503


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
            async with serving(create_app(lambda: NOW), "127.0.0.1", port):
                pytest.fail("it serves on a taken port")


async def test_it_listens_on_ipv6_as_well() -> None:
    port = free_port()
    async with (
        serving(create_app(lambda: NOW), "::1", port),
        ClientSession() as session,
        session.get(f"http://[::1]:{port}/readyz") as answer,
    ):
        assert answer.status == 200


@asynccontextmanager
async def engine(*pages: str, redirect: str | None = None) -> AsyncIterator[int]:
    """A server with an engine's pages, one after the other, or with a redirect instead."""
    left = list(pages)

    async def metrics(_: web.Request) -> web.Response:
        if redirect is not None:
            return web.Response(status=302, headers={"Location": redirect})
        return web.Response(text=left.pop(0) if len(left) > 1 else left[0])

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/version", version)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def served(*options: str) -> Iterator[str]:
    """`inferplan serve` as a process; its URL."""
    command = (sys.executable, "-m", "inferplan", "serve", "--port", "0", *options)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if line.startswith("InferPlan answers at ")).split()[3].rstrip(",")
        assert any("Started server process" in line for line in lines)
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


async def post(url: str, path: str, body: Any) -> tuple[int, Any]:
    def ask() -> tuple[int, Any]:
        request = urllib.request.Request(f"{url}/api/v1/{path}", json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return await asyncio.to_thread(ask)


async def test_a_running_engine_is_analyzed_and_optimize_uses_what_was_seen() -> None:
    async with engine(*scrapes("kv-bound", "1", "2")) as port:
        with served() as url:
            question = {"instance_id": f"localhost:{port}", "instance_type": "vllm"}
            status, found = await post(url, "analyze", {**question, "sample_seconds": 2})
            assert status == 200
            assert found["observed"]["engine_version"] == "0.32.0"
            assert found["metrics"]["num_requests_waiting"]["value"] > 0
            status, plan = await post(url, "optimize", question)
            assert status == 200
            assert plan["observed"]["source"].startswith(f"3 pages of http://localhost:{port}/metrics, seen by analyze")


async def test_a_redirect_to_a_metadata_service_leads_nowhere() -> None:
    async with engine(redirect="http://169.254.169.254/latest/meta-data/") as port:
        with served() as url:
            status, found = await post(url, "analyze", {"instance_id": f"127.0.0.1:{port}", "instance_type": "vllm"})
            assert (status, found["cause"]) == (200, "Unknown")
            assert "answers with a redirect (302), which is not followed" in found["unknowns"][0]["reason"]


async def test_allow_takes_the_place_of_this_machine() -> None:
    async with engine(*scrapes("kv-bound", "1", "2")) as port:
        with served("--allow", "10.0.0.0/8:8000", "--allow", f"127.0.0.1:{port}") as url:
            question = {"instance_type": "vllm", "sample_seconds": 1}
            status, _ = await post(url, "analyze", {**question, "instance_id": f"127.0.0.1:{port}"})
            assert status == 200
            for other in (f"[::1]:{port}", f"127.0.0.1:{port + 1}", f"127.0.0.2:{port}", "10.0.0.1:8001"):
                status, refused = await post(url, "analyze", {**question, "instance_id": other})
                assert (status, refused["field"]) == (403, "instance_id")


def test_an_entry_that_cannot_be_used_is_bad_input() -> None:
    command = (sys.executable, "-m", "inferplan", "serve", "--allow", "10.0.0.0/40")
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr.startswith('inferplan serve: --allow: "10.0.0.0/40" is no address, CIDR or host name')
    assert ended.stderr.count("\n") == 1
