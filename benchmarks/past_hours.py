"""The queries for past hours on the real Prometheus: bytes, seconds and samples of each, for a fleet of one size.

    PYTHONPATH=operator:lab .venv/bin/python benchmarks/past_hours.py [PODS] [SECONDS BETWEEN SAMPLES]

An exporter tells of thirteen past hours, piece by piece; twelve hours and one hour are then asked for with the queries
of the operator. Prometheus keeps what it is told of the past in chunks of 32 samples, which are slower to read than the
blocks of two hours that a real history lies in.
Raw results go to results/past_hours.json.
"""

import http.server
import json
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from typing_extensions import override

from inferplan.observe.history_queries import STEP_SECONDS, history_queries
from inferplan_lab.processes import wait_until
from inferplan_lab.prometheus import Prometheus, Targets

RESULTS = Path(__file__).resolve().parent / "results" / "past_hours.json"
HOURS = 13
SAMPLES_A_PAGE = 10_000
SCRAPE_SECONDS = 7
HISTOGRAMS = {
    "vllm:request_prompt_tokens": (500.0, 1.0),
    "vllm:request_generation_tokens": (200.0, 1.0),
    "vllm:time_to_first_token_seconds": (0.2, 1.0),
    "vllm:inter_token_latency_seconds": (0.02, 200.0),
}
LABELS = 'engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct",namespace="serving"'


class Told:
    """Pages of one piece of the past after the other."""

    def __init__(self, pods: int, between: int) -> None:
        self.start = (int(time.time()) // STEP_SECONDS - HOURS) * STEP_SECONDS
        self._pods = tuple(f"llama{at // 3}-7d9f5c8b6d-{'bcdfgh'[at % 3]}2x9p" for at in range(pods))
        self._times = range(self.start, int(time.time()), between)
        self._a_page = max(1, SAMPLES_A_PAGE // pods)
        self._told = 0

    @property
    def done(self) -> bool:
        """Whether all was told."""
        return self._told >= len(self._times)

    def page(self) -> bytes:
        """The next piece; the same until it was `sent`."""
        times = self._times[self._told : self._told + self._a_page]
        lines = [line for at in times for pod in self._pods for line in self._lines(pod, at)]
        return "".join(sorted(lines)).encode()

    def sent(self) -> None:
        """Goes on to the piece after it."""
        self._told += self._a_page

    def _lines(self, pod: str, at: int) -> list[str]:
        gone, own = (at - self.start) * 2.1337, f'{{{LABELS},pod="{pod}"'
        values = {f"vllm:num_requests_{name}{own}": hash((pod, at, name)) % 65 for name in ("running", "waiting")}
        reasons = {f'vllm:request_success_total{own},finished_reason="{name}"': gone for name in ("stop", "length")}
        sums = {f"{name}_sum{own}": gone * mean * count for name, (mean, count) in HISTOGRAMS.items()}
        counts = {f"{name}_count{own}": gone * count for name, (_, count) in HISTOGRAMS.items()}
        told = values | reasons | sums | counts
        return [f"{series}}} {value} {at * 1000}\n" for series, value in told.items()]


def exporter(told: Told) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = told.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)  # fails where the scrape has timed out
            told.sent()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def asked(url: str, query: str, span: tuple[int, int]) -> dict[str, Any]:
    form = {"query": query, "start": span[0] * STEP_SECONDS, "end": span[1] * STEP_SECONDS, "step": STEP_SECONDS}
    data = urllib.parse.urlencode(form | {"stats": "all"}).encode()
    started = time.perf_counter()
    with urllib.request.urlopen(f"{url}/api/v1/query_range", data=data, timeout=120) as answer:  # noqa: S310  ours
        body = answer.read()
    seconds = time.perf_counter() - started
    read = json.loads(body)["data"]
    samples = read["stats"]["samples"]
    return {
        "hours": span[1] - span[0] + 1,
        "series": len(read["result"]),
        "bytes": len(json.dumps(read["result"], separators=(",", ":"))),
        "seconds": round(seconds, 2),
        "samples": samples["totalQueryableSamples"],
        "peak_samples": samples["peakSamples"],
    }


def main() -> None:
    pods, between = (int(text) for text in [*sys.argv[1:], "300", "60"][:2])
    told = Told(pods, between)
    server = exporter(told)
    targets = Targets(
        static=(f"127.0.0.1:{server.server_address[1]}",), interval_seconds=SCRAPE_SECONDS, late_hours=4 * HOURS
    )
    with tempfile.TemporaryDirectory() as state, Prometheus(Path(state), targets) as prometheus:
        wait_until(lambda: told.done, 3_600, "the past to be told")
        time.sleep(SCRAPE_SECONDS)
        newest = told.start // STEP_SECONDS + HOURS
        spans = ((newest - 11, newest), (newest, newest))
        queries = history_queries()
        if not prometheus.query("count(count_over_time(vllm:num_requests_running[13h]))"):
            raise SystemExit("Prometheus took nothing of what it was told: see that pages are made in time")
        found = [asked(prometheus.url, query, span) for span in spans for query in queries]
    server.shutdown()
    result = {"pods": pods, "seconds_between_samples": between, "queries": found}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
