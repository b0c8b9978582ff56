"""A vLLM's /metrics on an address of loopback: gauges that stand, counters that grow with time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

REQUESTS_PER_SECOND = 40.0
_HISTOGRAMS = {
    "time_to_first_token_seconds": 0.2,
    "inter_token_latency_seconds": 0.02,
    "e2e_request_latency_seconds": 0.8,
    "request_queue_time_seconds": 0.3,
    "request_prompt_tokens": 500.0,
    "request_generation_tokens": 200.0,
    "iteration_tokens_total": 64.0,
}


def page(uptime_seconds: float, running: int, waiting: int) -> str:
    """The page of an engine that is capped at `running` and has served steadily since it started."""
    own = 'engine="0",model_name="m"'
    finished = REQUESTS_PER_SECOND * uptime_seconds
    lines = [
        f"vllm:num_requests_running{{{own}}} {running}",
        f"vllm:num_requests_waiting{{{own}}} {waiting}",
        f"vllm:kv_cache_usage_perc{{{own}}} 0.3",
        f"vllm:num_preemptions_total{{{own}}} 0",
        f'vllm:request_success_total{{finished_reason="stop",{own}}} {finished}',
        f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="25000",{own}}} 1',
        f"vllm:prompt_tokens_total{{{own}}} {500 * finished}",
        f"vllm:generation_tokens_total{{{own}}} {200 * finished}",
        f"process_start_time_seconds {time.time() - uptime_seconds}",
    ]
    for name, mean in _HISTOGRAMS.items():
        lines += [f'vllm:{name}_bucket{{le="{bound}",{own}}} {finished}' for bound in (2 * mean, "+Inf")]
        lines += [f"vllm:{name}_sum{{{own}}} {mean * finished}", f"vllm:{name}_count{{{own}}} {finished}"]
    return "\n".join(lines) + "\n"


@contextmanager
def engine(address: str, running: int = 32, waiting: int = 12) -> Iterator[int]:
    """Serves /metrics and /version on any free port of the address; gives the port. It started an hour ago."""
    started = time.monotonic() - 3600

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = page(time.monotonic() - started, running, waiting) if self.path == "/metrics" else _VERSION
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer((address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_VERSION = '{"version": "0.33.0"}'
