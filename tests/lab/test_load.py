"""The load generator without a server, and with one that comes late."""

import asyncio
import math
from itertools import islice

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from inferplan_lab.load import Plan, gaps, requests, run_load
from inferplan_lab.load.__main__ import is_loopback, main
from inferplan_lab.load.summary import Answer, Summary, percentile

DEADLINE_SECONDS = 30.0


def test_prompts_share_their_beginning_and_repeat_with_the_seed() -> None:
    plan = Plan(("http://x",), input_tokens=20, shared_prefix=0.5, seed=7)
    (first, asked), (second, _) = islice(requests(plan), 2)
    assert asked == plan.output_tokens
    assert (len(first), len(second)) == (20, 20)
    assert first[:10] == second[:10]
    assert first[10:] != second[10:]
    assert next(requests(plan)) == (first, asked)


def test_lengths_spread_around_their_mean() -> None:
    plan = Plan(("http://x",), input_tokens=100, output_tokens=10, spread=0.5)
    drawn = [(len(prompt), output) for prompt, output in islice(requests(plan), 500)]
    for lengths, mean in zip(zip(*drawn, strict=True), (100, 10), strict=True):
        assert (min(lengths), max(lengths)) == (mean * 0.5, mean * 1.5)
        assert sum(lengths) / len(lengths) == pytest.approx(mean, rel=0.05)


def test_requests_of_an_open_loop_come_at_their_rate() -> None:
    plan = Plan(("http://x",), rate_per_second=4.0)
    between = list(islice(gaps(plan), 4000))
    assert sum(between) == pytest.approx(1000, rel=0.05)
    with pytest.raises(ValueError, match="without a rate"):
        next(gaps(Plan(("http://x",))))


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.75, 3), (0.99, 4), (0.0, 1), (1.0, 4)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], share) == value


def test_no_values_have_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_a_summary_names_every_number() -> None:
    answers = [
        Answer(sent=10.0, first=10.1, ended=11.0, tokens=19),
        Answer(sent=10.0, first=10.3, ended=12.0, tokens=1),
    ]
    summary = Summary(failed=1, started=10.0, seconds=4.0, answers=answers)
    assert summary.lines() == (
        "ok 2  failed 1  unfinished 0  in 4.0 s",
        "output 5.0 tokens/s",
        "TTFT    p50 100.0  p90 300.0  p99 300.0 ms",
        "ITL     p50 50.0  p90 50.0  p99 50.0 ms",
        "latency p50 1000.0  p90 2000.0  p99 2000.0 ms",
    )


def test_a_part_of_the_time_has_the_answers_that_were_whole_in_it() -> None:
    answers = [Answer(sent=10.0 + at, first=10.5 + at, ended=11.0 + at, tokens=5) for at in range(4)]
    part = Summary(failed=3, started=10.0, seconds=4.0, answers=answers).within(2.0, 4.0)
    assert (part.ok, part.output_tokens, part.seconds) == (2, 10, 2.0)
    assert part.lines()[1] == "output 5.0 tokens/s"


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.1.2.3:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost:8000", True),
        ("http://10.0.0.1:8000", False),
        ("http://localhost.example.org", False),
        ("127.0.0.1:8000", False),
    ],
)
def test_only_this_machine_is_near(url: str, near: bool) -> None:
    assert is_loopback(url) == near


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["http://10.0.0.1", "--rate", "1"], "target http://10.0.0.1: only loopback addresses"),
        (["", "--rate", "1"], "target missing"),
        (["http://127.0.0.1", "--concurrency", "0"], "must be above 0"),
        (["http://127.0.0.1", "--rate", "-1"], "must be above 0"),
        (["http://127.0.0.1", "--rate", "1", "--shared-prefix", "2"], "is not within 0 and 1"),
        (["http://127.0.0.1", "--rate", "1", "--spread", "1"], "spread: 1.0 is not 0 or more and below 1"),
    ],
)
def test_a_bad_plan_is_refused_in_one_line(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


async def answer(_request: web.Request) -> web.Response:
    events = ('{"choices":[{}]}', '{"choices":[],"usage":{"completion_tokens":3}}', "[DONE]")
    return web.Response(text="".join(f"data: {event}\n\n" for event in events), content_type="text/event-stream")


async def test_clients_wait_for_a_server_that_comes_late() -> None:
    port = unused_port()
    stop = asyncio.Event()
    plan = Plan((f"http://127.0.0.1:{port}/",), concurrency=2, duration_seconds=DEADLINE_SECONDS)
    work = asyncio.create_task(run_load(plan, stop))
    with pytest.raises(TimeoutError):  # nobody listens: the clients keep trying
        async with asyncio.timeout(0.3):
            await asyncio.shield(work)
    served = asyncio.Event()
    seen: list[str] = []

    async def noted(request: web.Request) -> web.Response:
        seen.append(request.path)
        if len(seen) > 2:  # of two clients one has got its answer
            served.set()
        return await answer(request)

    app = web.Application()
    app.router.add_post("/v1/completions", noted)
    async with TestServer(app, port=port):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await served.wait()
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            summary = await work
    assert summary.failed >= 2
    assert summary.ok >= 1
    assert summary.output_tokens == 3 * summary.ok


async def test_a_load_ends_by_itself() -> None:
    app = web.Application()
    app.router.add_post("/v1/completions", answer)
    async with TestServer(app) as server:
        url = str(server.make_url(""))
        async with asyncio.timeout(DEADLINE_SECONDS):
            by_count = await run_load(Plan((url,), concurrency=3, requests=7))
        plan = Plan((url,), rate_per_second=50, duration_seconds=0.2)
        async with asyncio.timeout(DEADLINE_SECONDS):
            by_time = await run_load(plan)
    assert (by_count.ok, by_count.failed) == (7, 0)
    assert by_time.seconds >= 0.2


async def test_an_error_or_an_empty_answer_counts_as_failed() -> None:
    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    async def empty(_request: web.Request) -> web.Response:
        return web.Response(text="data: [DONE]\n\n")

    for handler in (broken, empty):
        app = web.Application()
        app.router.add_post("/v1/completions", handler)
        async with TestServer(app) as server:
            plan = Plan((str(server.make_url("")),), rate_per_second=1000, requests=3)
            async with asyncio.timeout(DEADLINE_SECONDS):
                summary = await run_load(plan)
        assert (summary.ok, summary.failed) == (0, 3)
