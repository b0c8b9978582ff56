"""The simulator over HTTP, with the load generator in front."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from inferplan_lab.engine.__main__ import main, prepare, read_surroundings
from inferplan_lab.engine.server import Endpoints
from inferplan_lab.engine.serving import Engine, tokens_of
from inferplan_lab.load import Plan, run_load
from inferplan_lab.load.summary import Summary

DEADLINE_SECONDS = 30.0


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            found = check()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(*words: str, speed: float = 20.0) -> AsyncIterator[str]:
    env = {"INFERPLAN_SIM_BIND": "127.0.0.1:0"}
    settings, _ = prepare(["serve", "m", "--max-model-len", "2048", *words], read_surroundings(env))
    engine = Engine(settings, speed, log=lambda _text: None)
    work = asyncio.create_task(engine.run())
    async with TestServer(Endpoints(engine).application()) as server:
        yield str(server.make_url("")).rstrip("/")
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def metrics(url: str) -> dict[str, float]:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    return {sample.name: sample.value for family in families for sample in family.samples}


@asynccontextmanager
async def loaded(url: str, concurrency: int, lengths: tuple[int, int]) -> AsyncIterator[asyncio.Task[Summary]]:
    stop = asyncio.Event()
    plan = Plan((url,), concurrency=concurrency, input_tokens=lengths[0], output_tokens=lengths[1])
    work = asyncio.create_task(run_load(plan, stop))
    try:
        yield work
    finally:
        stop.set()
        summary = await work
        assert summary.failed == 0


async def test_a_low_cap_queues_requests_while_the_cache_is_nearly_empty() -> None:
    async with serving("--max-num-seqs", "4") as url, loaded(url, 12, (64, 200)):
        page: dict[str, float] = {}

        async def full() -> bool:
            page.update(await metrics(url))
            return page["vllm:num_requests_running"] == 4 and page["vllm:num_requests_waiting"] > 0

        await until(full)
    assert 0 < page["vllm:kv_cache_usage_perc"] < 0.1
    assert page["vllm:num_preemptions_total"] == 0


async def test_too_few_blocks_fill_the_cache_and_preempt() -> None:
    words = ("--num-gpu-blocks-override", "200", "--no-enable-prefix-caching")
    async with serving(*words) as url, loaded(url, 40, (200, 200)):
        page: dict[str, float] = {}

        async def pressed() -> bool:
            page.update(await metrics(url))
            return page["vllm:kv_cache_usage_perc"] > 0.9 and page["vllm:num_preemptions_total"] > 0

        await until(pressed)
    assert page["vllm:num_requests_waiting"] > 0


async def test_a_load_of_so_many_requests_is_answered_in_full() -> None:
    async with serving() as url:
        plan = Plan((url,), rate_per_second=200, requests=20, input_tokens=64, output_tokens=10, shared_prefix=1.0)
        summary = await run_load(plan)
        page = await metrics(url)
    assert (summary.ok, summary.failed, summary.unfinished, summary.output_tokens) == (20, 0, 0, 200)
    assert page["vllm:generation_tokens_total"] == 200
    assert page["vllm:prefix_cache_hits_total"] > 0
    assert page["vllm:prompt_tokens_total"] == 20 * 64
    assert all(0 < first <= whole for first, whole in zip(summary.first_token, summary.latency, strict=True))


async def test_text_and_chat_are_answered_without_streaming() -> None:
    async with serving("--served-model-name", "one", "two") as url, aiohttp.ClientSession() as client:
        body = {"model": "two", "prompt": "a" * 40, "max_tokens": 3}
        async with client.post(f"{url}/v1/completions", json=body) as answer:
            text = await answer.json()
        chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        async with client.post(f"{url}/v1/chat/completions", json=chat) as answer:
            talk = await answer.json()
        async with client.get(f"{url}/v1/models") as answer:
            models = await answer.json()
    assert text["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    assert (text["model"], text["choices"][0]["finish_reason"]) == ("two", "length")
    assert (talk["object"], talk["choices"][0]["message"]["role"]) == ("chat.completion", "assistant")
    assert [model["id"] for model in models["data"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"prompt": "x", "max_tokens": 5000}, 400, "maximum context length is 2048"),
        ({"prompt": "x", "max_tokens": 0}, 400, "max_tokens must be at least 1"),
        ({"prompt": [], "max_tokens": 1}, 400, "prompt must be"),
        ({"prompt": "x", "model": "other"}, 404, "does not exist"),
        ([1], 400, "must be a JSON object"),
    ],
)
async def test_a_bad_request_is_answered_with_its_reason(body: object, status: int, message: str) -> None:
    async with (
        serving() as url,
        aiohttp.ClientSession() as client,
        client.post(f"{url}/v1/completions", json=body) as answer,
    ):
        assert answer.status == status
        assert message in (await answer.json())["error"]["message"]


async def test_a_client_that_leaves_frees_its_blocks() -> None:
    async with serving(speed=1.0) as url, aiohttp.ClientSession() as client:
        body = {"prompt": "x" * 400, "max_tokens": 1500, "stream": True}
        async with client.post(f"{url}/v1/completions", json=body) as answer:
            await answer.content.readline()
            answer.close()

        page: dict[str, float] = {}

        async def gone() -> bool:
            page.update(await metrics(url))
            return page["vllm:num_requests_running"] == 0 and page["vllm:kv_cache_usage_perc"] == 0

        await until(gone)
    assert page["vllm:generation_tokens_total"] < 1500


def test_equal_pieces_of_text_are_equal_tokens() -> None:
    assert len(tokens_of("a" * 10)) == 3
    assert tokens_of("abcdefgh")[:1] == tokens_of("abcdxxxx")[:1]
    assert tokens_of("") == [0]
    assert tokens_of([5, 6]) == [5, 6]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_process_serves_and_leaves_at_sigterm() -> None:
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "INFERPLAN_SIM_BIND": "127.0.0.1",
        "INFERPLAN_SIM_LOAD_SECONDS": "0",
        "INFERPLAN_SIM_VLLM_VERSION": "0.12.0",
    }
    words = ("-m", "inferplan_lab.engine", "--as-api-server", "--model", "m", "--port", str(port))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env=env, stderr=asyncio.subprocess.PIPE)

    async def version() -> bool:
        try:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/version") as answer:
                return bool((await answer.json())["version"] == "0.12.0")
        except aiohttp.ClientError:
            return False

    await until(version)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_SECONDS):
        _, log = await process.communicate()
    assert process.returncode == 0
    lines = log.decode().splitlines()
    assert any("GPU KV cache size: " in line and "Maximum concurrency" not in line for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["serve", "m", "--swap-space", "4"], 2, "vllm: error: unrecognized arguments: --swap-space 4"),
        (["bench"], 2, "vllm: error: argument subparser: invalid choice: 'bench' (the simulator knows serve)"),
        (["serve", "m", "--gpu-memory-utilization", "0.2"], 1, "ValueError: No available memory for the cache blocks"),
    ],
)
def test_a_refused_start_says_why_on_its_last_line(
    words: list[str],
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("INFERPLAN_SIM_")]:
        monkeypatch.delenv(name)
    assert main(words) == code
    assert capsys.readouterr().err.splitlines()[-1].startswith(line)


def test_a_bad_environment_stops_the_server(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INFERPLAN_SIM_SPEED", "0")
    assert main(["serve", "m"]) == 1
    assert "INFERPLAN_SIM_SPEED must be above 0" in capsys.readouterr().err
