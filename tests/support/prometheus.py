"""A Prometheus that answers from literals: in memory for unit tests, over HTTP on loopback for the others.

It knows the queries of observe/fleet_queries.py: unions of tagged parts, and of each part its metric, its label
matchers and its groupings. A series is (labels, value); the value is what any function of it gives. Ages and histories
are the same for all series. Processes have never started anew.
"""

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from inferplan.observe.prometheus import Answer, PrometheusError, RangeAnswer, Sample

Series = tuple[Mapping[str, str], float]

_PART = re.compile(r'label_replace\((.*), "(\w+)", "([\w:]+)", "", ""\)', re.DOTALL)
_METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*?)\}(?=[\[)]|$)", re.DOTALL)
_MATCHER = re.compile(r'([a-zA-Z_]\w*)(=~|!=|=)"((?:[^"\\]|\\.)*)"', re.DOTALL)
_GROUPING = re.compile(r"(sum|max|avg|min) by \(([^)]*)\)")
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


@dataclass
class FakePrometheus:
    """Series by metric name, and how old and how long they are.

    Attributes:
        series: Metric name → series.
        age_seconds: Age of the newest sample; None: no present sample, only old ones.
        history_seconds: Age of the oldest sample in the window.
        fails: Text of the PrometheusError that every query gets.
        asked: Every query so far.
    """

    series: dict[str, list[Series]] = field(default_factory=dict)
    age_seconds: float | None = 5.0
    history_seconds: float = 900.0
    fails: str | None = None
    asked: list[str] = field(default_factory=list)

    async def query(self, promql: str) -> Answer:
        """As `observe.prometheus.Prometheus`."""
        return Answer(self.answer(promql))

    async def query_range(self, promql: str, start: float, end: float, step_seconds: float) -> RangeAnswer:
        """Nothing is held of the past."""
        del promql, start, end, step_seconds
        if self.fails is not None:
            raise PrometheusError(self.fails)
        return RangeAnswer()

    def answer(self, promql: str) -> tuple[Sample, ...]:
        self.asked.append(promql)
        if self.fails is not None:
            raise PrometheusError(self.fails)
        return tuple(sample for part in promql.split("\nor\n") for sample in self._part(part))

    def _part(self, text: str) -> Iterator[Sample]:
        part = _PART.fullmatch(text)
        assert part is not None, f"no tagged part: {text}"
        expression, label, tag = part.groups()
        found = _METRIC.search(expression)
        if found is None or tag.startswith(_UNKNOWN):
            return
        name, matchers = found.groups()
        series = ((labels, self._value(tag, value)) for labels, value in self.series.get(name, ()))
        answer = [(labels, value) for labels, value in series if value is not None and _matches(matchers, labels)]
        for join, by in reversed(_GROUPING.findall(expression)):  # the inner one of two first: copies, then schedulers
            answer = _grouped(answer, by.split(", "), sum if join == "sum" else max)
        yield from (Sample({**labels, label: tag}, value) for labels, value in answer)

    def _value(self, tag: str, value: float) -> float | None:
        """None where nothing is answered: without a present sample."""
        if tag.startswith("first:"):
            return self.history_seconds
        if tag.startswith("delta:"):
            return 0.0
        if tag.startswith("low:"):
            return value if value < 0 else None
        return self.age_seconds if tag.startswith("age:") else value


_UNKNOWN = ("resets:", "changes:", "native:", "gpu:")
"""What never is: restarts, native histograms, GPUs' series."""


def _grouped(series: list[Series], by: Sequence[str], join: Callable[[list[float]], float]) -> list[Series]:
    values: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels, value in series:
        values.setdefault(tuple((name, labels[name]) for name in by if name in labels), []).append(value)
    return [(dict(own), join(found)) for own, found in values.items()]


def _matches(matchers: str, labels: Mapping[str, str]) -> bool:
    parsed = _MATCHER.findall(matchers)
    rest = _MATCHER.sub("", matchers).strip(", ")
    assert not rest, f"what is no matcher: {rest!r}"
    return all(_match(operator, _unescaped(text), labels.get(label, "")) for label, operator, text in parsed)


def _match(operator: str, wanted: str, value: str) -> bool:
    if operator == "=~":
        return re.fullmatch(wanted, value) is not None
    return (wanted == value) is (operator == "=")


def _unescaped(text: str) -> str:
    return re.sub(r'\\[n"\\]', lambda match: _ESCAPES[match.group(0)], text)


def vllm_series(pods: Sequence[str], namespace: str = "serving", **values: float) -> dict[str, list[Series]]:
    """What Prometheus holds of vLLM pods: capped at 32 running, 12 waiting, KV cache at 30 %, unless named otherwise.

    Values: running, waiting, kv_usage, preemptions, requests, blocks (of 16 tokens), ttft, itl (seconds).
    """
    seen = {
        "running": 32.0,
        "waiting": 12.0,
        "kv_usage": 0.30,
        "preemptions": 0.0,
        "requests": 4.0,
        "blocks": 25_000.0,
        "ttft": 0.2,
        "itl": 0.02,
    } | values
    labels = [{"namespace": namespace, "pod": pod, "instance": f"{pod}:8000", "engine": "0"} for pod in pods]

    def of(value: float, **more: str) -> list[Series]:
        return [({**own, **more}, value) for own in labels]

    rate = seen["requests"]
    gauges = {
        "vllm:num_requests_running": of(seen["running"]),
        "vllm:num_requests_waiting": of(seen["waiting"]),
        "vllm:kv_cache_usage_perc": of(seen["kv_usage"]),
        "vllm:num_preemptions_total": of(seen["preemptions"]),
        "vllm:request_success_total": [*of(rate, finished_reason="stop"), *of(0.0, finished_reason="abort")],
        "vllm:cache_config_info": of(1.0, num_gpu_blocks=f"{seen['blocks']:.0f}", block_size="16"),
    }
    return gauges | {
        name: series
        for base, mean, count in (
            ("vllm:request_prompt_tokens", 500.0, rate),
            ("vllm:request_generation_tokens", 200.0, rate),
            ("vllm:time_to_first_token_seconds", seen["ttft"], rate),
            ("vllm:inter_token_latency_seconds", seen["itl"], rate * 200),
            ("vllm:e2e_request_latency_seconds", 4.0, rate),
        )
        for name, series in _histogram(base, mean, count, of).items()
    }


def _histogram(base: str, mean: float, count: float, of: Any) -> dict[str, list[Series]]:
    """All observations at the mean: half of them below it, all of them below twice of it."""
    bounds = {f"{mean:g}": count / 2, f"{2 * mean:g}": count, "+Inf": count}
    buckets = [entry for bound, rate in bounds.items() for entry in of(rate, le=bound)]
    return {f"{base}_sum": of(mean * count), f"{base}_count": of(count), f"{base}_bucket": buckets}


@contextmanager
def serving(fake: FakePrometheus) -> Iterator[str]:
    """The fake over HTTP; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            form = urllib.parse.parse_qs(self.rfile.read(length).decode())
            status, document = http_answer(fake, form["query"][0], past=self.path.endswith("/query_range"))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def http_answer(fake: FakePrometheus, promql: str, *, past: bool) -> tuple[int, dict[str, Any]]:
    """Status and document of an answer."""
    if past and fake.fails is None:
        return 200, {"status": "success", "data": {"resultType": "matrix", "result": []}}
    try:
        samples = fake.answer(promql)
    except PrometheusError as error:
        return 503, {"status": "error", "errorType": "unavailable", "error": str(error)}
    now = time.time()
    result = [{"metric": dict(sample.labels), "value": [now, str(sample.value)]} for sample in samples]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}
