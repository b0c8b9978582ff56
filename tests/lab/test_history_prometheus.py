"""The real Prometheus answers the queries for past hours: it is told of four hours, and asked for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest
from tests.support.hours import wanted
from typing_extensions import override

from inferplan.domain.observation import History
from inferplan.observe.history import SETTLE_SECONDS, HistoryClock, HistoryReader
from inferplan.observe.history_queries import STEP_SECONDS
from inferplan.observe.prometheus import HttpPrometheus, Watch
from inferplan_lab.processes import wait_until
from inferplan_lab.prometheus import Prometheus, Targets

NOW = time.time()
"""One moment for the samples and for who reads them: between two, an hour may end."""
HOURS = 4
SCRAPE_SECONDS = 60
BEFORE, NOW_RUNS = "llama-5c8b7d9f6d-b2x9p", "llama-7d9f5c8b6d-x2x9p"
CURRENT = ("vllm:request_prompt_tokens", "vllm:request_generation_tokens", "vllm:time_to_first_token_seconds")


def newest_hour(now: float) -> int:
    return int((now - SETTLE_SECONDS) // STEP_SECONDS)


class Page:
    """A page that tells of the past: each sample with its time. Rates are per second since the series' first sample."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def series(self, name: str, pod: str, times: range, value: Callable[[int], float], **labels: str) -> None:
        own = {"namespace": "serving", "pod": pod, "model_name": "llama"} | labels
        text = ",".join(f'{label}="{text}"' for label, text in own.items())
        lines = self._lines.setdefault(name, [])
        lines += [f"{name}{{{text}}} {value(at)} {at * 1000}" for at in times]

    def gauge(self, name: str, pod: str, times: range, value: float, **labels: str) -> None:
        self.series(name, pod, times, lambda _at: value, **labels)

    def counter(self, name: str, pod: str, times: range, rate: float, **labels: str) -> None:
        self.series(name, pod, times, lambda at: rate * (at - times.start), **labels)

    def histogram(self, name: str, pod: str, times: range, mean: float, rate: float, **labels: str) -> None:
        self.counter(f"{name}_sum", pod, times, mean * rate, **labels)
        self.counter(f"{name}_count", pod, times, rate, **labels)

    def text(self) -> str:
        return "".join(f"{line}\n" for lines in self._lines.values() for line in lines)


def vllm(page: Page, pod: str, times: range, itl: str, *, engine: str = "0", rate: float = 1.0) -> None:
    """One rank: 4 requests at once for each request per second, of 400 and 100 tokens, 0.2 s, 20 ms."""
    page.gauge("vllm:num_requests_running", pod, times, 4.0 * rate, engine=engine)
    page.gauge("vllm:num_requests_waiting", pod, times, 0.25, engine=engine)
    for reason, share in (("stop", 0.75), ("length", 0.25)):
        page.counter("vllm:request_success_total", pod, times, share * rate, engine=engine, finished_reason=reason)
    for name, mean in zip(CURRENT, (400.0, 100.0, 0.2), strict=True):
        page.histogram(name, pod, times, mean, rate, engine=engine)
    page.histogram(itl, pod, times, 0.02, 100.0 * rate, engine=engine)


def sglang(page: Page, pod: str, times: range) -> None:
    """What SGLang calls the same, on two tensor-parallel ranks that tell the same."""
    for rank in ("0", "1"):
        page.gauge("sglang:num_running_reqs", pod, times, 3.0, tp_rank=rank, dp_rank="0")
        page.gauge("sglang:num_queue_reqs", pod, times, 0.0, tp_rank=rank, dp_rank="0")
        page.counter("sglang:num_requests_total", pod, times, 0.5, tp_rank=rank, dp_rank="0")
    page.histogram("sglang:prompt_tokens_histogram", pod, times, 300.0, 0.5)
    page.histogram("sglang:generation_tokens_histogram", pod, times, 50.0, 0.5)
    page.histogram("sglang:inter_token_latency_seconds", pod, times, 0.01, 25.0)
    page.histogram("sglang:time_to_first_token_seconds", pod, times, 0.05, 0.5)


def past() -> str:
    """Two hours of a pod with an old name of the ITL, then two of its successor with two ranks and a restart."""
    now, newest = int(NOW), newest_hour(NOW)
    first, middle, last = ((newest - ago) * STEP_SECONDS for ago in (HOURS, HOURS // 2, 0))
    restart = last - STEP_SECONDS // 2
    page = Page()
    vllm(page, BEFORE, range(first, middle, SCRAPE_SECONDS), "vllm:time_per_output_token_seconds")
    for times in (range(middle, restart, SCRAPE_SECONDS), range(restart, now, SCRAPE_SECONDS)):
        vllm(page, NOW_RUNS, times, "vllm:inter_token_latency_seconds")
        vllm(page, NOW_RUNS, times, "vllm:inter_token_latency_seconds", engine="1", rate=0.5)
    sglang(page, "qwen-0", range(first, now, SCRAPE_SECONDS))
    vllm(page, "odd-0", range(first, now, SCRAPE_SECONDS), "vllm:inter_token_latency_seconds")
    odd = last - STEP_SECONDS // 2
    page.series(
        "vllm:num_requests_running",
        "odd-0",
        range(first, now, SCRAPE_SECONDS),
        lambda at: -1.0 if odd <= at < odd + SCRAPE_SECONDS else 4.0,
        engine="1",
    )
    return page.text()


@contextmanager
def exporter(text: str) -> Iterator[int]:
    """A target that always answers the same; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes the page twice, under two instances, as two monitors would."""
    state: Path = tmp_path_factory.mktemp("prometheus")
    with exporter(past()) as port:
        twice = tuple(f"{host}:{port}" for host in ("127.0.0.1", "localhost"))
        with Prometheus(state, Targets(static=twice, interval_seconds=3, late_hours=2 * HOURS)) as prometheus:
            there = "count(count by (instance) (count_over_time(vllm:num_requests_running[1d]))) == 2"
            wait_until(lambda: bool(prometheus.query(there)), 60, "both targets' samples")
            yield prometheus.url


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[HistoryReader]:
    connector = aiohttp.TCPConnector()
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        source = HttpPrometheus(url, session, Watch(time.monotonic, lambda low, _high: low))
        yield HistoryReader(source, "lab", HistoryClock(lambda: NOW, time.monotonic, lambda low, _high: low))


async def test_past_hours_of_a_deployment(url: str) -> None:
    async with reader(url) as histories:
        found = await histories.read(wanted(pods=(NOW_RUNS,), now=NOW))
    assert isinstance(found, History)
    windows = found.windows[-HOURS:]
    # Samples with a time of their own end without a mark: for five minutes, a twelfth of an hour, both pods are there.
    assert [window.num_requests_running for window in windows] == pytest.approx([4.0, 4.0, 6.0, 6.0], rel=0.09)
    assert [window.num_requests_waiting for window in windows] == pytest.approx([0.25, 0.25, 0.5, 0.5], rel=0.09)
    assert windows[-1].num_requests_running == 6.0
    # Two ranks: 1.5 requests per second. The restart loses a minute, which is 1/60 of the hour.
    assert [window.requests_per_second for window in windows] == pytest.approx([1.0, 1.0, 1.5, 1.5], rel=0.09)
    for window in windows:
        assert window.prompt_tokens_mean == pytest.approx(400.0, rel=0.01)
        assert window.generation_tokens_mean == pytest.approx(100.0, rel=0.01)
        assert window.ttft_mean_milliseconds == pytest.approx(200.0, rel=0.01)
        assert window.itl_mean_milliseconds == pytest.approx(20.0, rel=0.01)
    assert [window.ended_at / STEP_SECONDS for window in windows] == [
        newest_hour(NOW) - ago for ago in range(HOURS - 1, -1, -1)
    ]


async def test_past_hours_of_sglang(url: str) -> None:
    async with reader(url) as histories:
        found = await histories.read(wanted("qwen", "StatefulSet", ("qwen-0",), now=NOW))
    assert isinstance(found, History)
    window = found.windows[-1]
    assert (window.num_requests_running, window.num_requests_waiting) == (3.0, 0.0)
    assert window.requests_per_second == pytest.approx(0.5, rel=0.01)
    assert window.prompt_tokens_mean == pytest.approx(300.0)
    assert window.itl_mean_milliseconds == pytest.approx(10.0)
    assert window.same_pods


async def test_an_hour_with_one_impossible_sample_of_one_rank_has_no_mean(url: str) -> None:
    async with reader(url) as histories:
        found = await histories.read(wanted("odd", "StatefulSet", ("odd-0",), now=NOW))
    assert isinstance(found, History)
    assert found.windows[-1].num_requests_running is None
    assert found.windows[-2].num_requests_running == pytest.approx(8.0, rel=0.09)
    assert found.windows[-1].num_requests_waiting == pytest.approx(0.25, rel=0.09)


async def test_a_selector_groups_by_its_labels(url: str) -> None:
    async with reader(url) as histories:
        asked = wanted(kind=None, selector={"job": "static", "model_name": "llama"}, now=NOW)
        found, none = await asyncio.gather(
            histories.read(asked), histories.read(wanted(kind=None, selector={"job": "x"}, now=NOW))
        )
    assert isinstance(found, History)
    assert found.bands
    assert not isinstance(none, History)
