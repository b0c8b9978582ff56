"""The engine's /metrics page under the names of the pretended release (engine facts, section 4a)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inferplan_lab.engine.cache_info import info_labels
from inferplan_lab.engine.events import Request, StepResult
from inferplan_lab.engine.exposition import Histogram, header, one_two_five, sample
from inferplan_lab.engine.flags import Release
from inferplan_lab.engine.scheduler import Scheduler
from inferplan_lab.engine.settings import EngineSettings
from inferplan_lab.engine.step_time import StepCost

FIRST_TOKEN_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_GAP_BOUNDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
LATENCY_BOUNDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
STEP_TOKEN_BOUNDS = (1, *(2**power for power in range(3, 15)))
REQUEST_COUNT_BOUNDS = (1, 2, 5, 10, 20)
PREEMPTION_BOUNDS = (1, 2, 3, 4, 5, 10, 20)

ALWAYS: Release = (0,)


@dataclass(frozen=True, slots=True)
class Name:
    """One metric of vLLM, and the releases that expose it.

    Attributes:
        text: after ``vllm:``, without ``_total``.
        source: the value that it shows.
        since: the first release.
        until: the last release, None while it is still there.
    """

    text: str
    source: str
    since: Release = ALWAYS
    until: Release | None = None

    def visible(self, release: Release) -> bool:
        """Whether a release exposes it.

        Args:
            release: the pretended one.

        Returns:
            True from the first release to the last.
        """
        return self.since <= release and (self.until is None or release <= self.until)


GAUGES = (
    Name("num_requests_running", "running"),
    Name("num_requests_waiting", "waiting"),
    Name("kv_cache_usage_perc", "usage", since=(0, 9, 2)),
    Name("gpu_cache_usage_perc", "usage", until=(0, 10, 2)),
)
COUNTERS = (
    Name("prefix_cache_queries", "queries", since=(0, 9, 2)),
    Name("prefix_cache_hits", "hits", since=(0, 9, 2)),
    Name("gpu_prefix_cache_queries", "queries", until=(0, 10, 2)),
    Name("gpu_prefix_cache_hits", "hits", until=(0, 10, 2)),
    Name("external_prefix_cache_queries", "nothing", since=(0, 11, 1)),
    Name("external_prefix_cache_hits", "nothing", since=(0, 11, 1)),
    Name("num_preemptions", "preemptions"),
    Name("prompt_tokens", "prompt"),
    Name("prompt_tokens_cached", "cached", since=(0, 16)),
    Name("generation_tokens", "generation"),
)
MFU_COUNTERS = (
    Name("estimated_flops_per_gpu", "flops", since=(0, 17, 1)),
    Name("estimated_read_bytes_per_gpu", "read", since=(0, 17, 1)),
    Name("estimated_write_bytes_per_gpu", "write", since=(0, 17, 1)),
)
HISTOGRAMS = (
    Name("request_prompt_tokens", "prompt"),
    Name("request_generation_tokens", "generated"),
    Name("iteration_tokens_total", "step"),
    Name("request_max_num_generation_tokens", "generated"),
    Name("request_params_n", "n"),
    Name("request_params_max_tokens", "max_tokens"),
    Name("time_to_first_token_seconds", "first_token"),
    Name("inter_token_latency_seconds", "gap", since=(0, 10, 2)),
    Name("time_per_output_token_seconds", "gap", until=(0, 11, 2)),
    Name("request_time_per_output_token_seconds", "mean_gap", since=(0, 11)),
    Name("e2e_request_latency_seconds", "latency"),
    Name("request_queue_time_seconds", "queue"),
    Name("request_inference_time_seconds", "inference"),
    Name("request_prefill_time_seconds", "prefill"),
    Name("request_decode_time_seconds", "decode"),
    Name("request_num_preemptions", "preempted", since=(0, 30)),
    Name("request_prefill_kv_computed_tokens", "computed", since=(0, 13)),
)
REASONS = ("stop", "length", "abort")
REASONS_ERROR: Release = (0, 17)
REASONS_REPETITION: Release = (0, 20, 2)
"""First releases with the finished reasons error and repetition: a guess, only 0.32's five are known."""


def _histograms(longest: int) -> dict[str, Histogram]:
    """An empty histogram for each source."""
    tokens = one_two_five(longest)
    bounds: dict[str, Iterable[float]] = {
        **dict.fromkeys(("prompt", "generated", "max_tokens", "computed"), tokens),
        **dict.fromkeys(("latency", "queue", "inference", "prefill", "decode"), LATENCY_BOUNDS),
        **dict.fromkeys(("gap", "mean_gap"), TOKEN_GAP_BOUNDS),
        "first_token": FIRST_TOKEN_BOUNDS,
        "step": STEP_TOKEN_BOUNDS,
        "n": REQUEST_COUNT_BOUNDS,
        "preempted": PREEMPTION_BOUNDS,
    }
    return {source: Histogram(tuple(edges)) for source, edges in bounds.items()}


class EngineMetrics:
    """What the engine counts, and its page."""

    def __init__(self, settings: EngineSettings, started_seconds: float) -> None:
        self._settings = settings
        self._release = settings.machine.release
        self._started = started_seconds
        self._labels = {"model_name": settings.model_names[0], "engine": "0"}
        self._finished = dict.fromkeys(self._reasons(), 0)
        self.counters = dict.fromkeys(
            (name.source for name in (*COUNTERS, *MFU_COUNTERS)),
            0.0,
        )
        self.histograms = _histograms(settings.max_model_len)

    def _reasons(self) -> tuple[str, ...]:
        """The finished reasons of the release."""
        error = ("error",) if self._release >= REASONS_ERROR else ()
        return (*REASONS, *error, *(("repetition",) if self._release >= REASONS_REPETITION else ()))

    def record(self, result: StepResult, cost: StepCost) -> None:
        """Count one step.

        Args:
            result: what it did.
            cost: what it cost.
        """
        counters = self.counters
        counters["queries"] += result.cache_queries_tokens
        counters["hits"] += result.cache_hits_tokens
        counters["preemptions"] += result.preempted
        counters["generation"] += len(result.emitted)
        if result.shape.tokens:
            self.histograms["step"].observe(result.shape.tokens)
            counters["flops"] += cost.flops
            counters["read"] += cost.read_bytes
            counters["write"] += cost.write_bytes
        gaps = self.histograms["gap"]
        for emission in result.emitted:
            if emission.gap_seconds is None:
                self._first_token(emission.request, result.ended_seconds)
            else:
                gaps.observe(emission.gap_seconds)
        for request in result.finished:
            self._done(request, "length", result.ended_seconds)

    def _first_token(self, request: Request, now: float) -> None:
        """Count a prompt that is done."""
        self.counters["prompt"] += request.prompt_tokens
        self.counters["cached"] += request.cached_tokens
        self.histograms["first_token"].observe(now - request.arrival_seconds)

    def aborted(self, request: Request, now: float) -> None:
        """Count a request that its client dropped.

        Args:
            request: no longer in the engine.
            now: when, in the scheduler's seconds.
        """
        self._done(request, "abort", now)

    def _done(self, request: Request, reason: str, now: float) -> None:
        """Count a request that left."""
        self._finished[reason] += 1
        admitted = now if request.admitted_seconds is None else request.admitted_seconds
        first = now if request.first_token_seconds is None else request.first_token_seconds
        last = now if request.last_token_seconds is None else request.last_token_seconds
        values = {
            "prompt": request.prompt_tokens,
            "generated": request.generated_tokens,
            "max_tokens": request.output_tokens,
            "computed": request.prompt_tokens - request.cached_tokens,
            "n": 1,
            "preempted": request.preemptions,
            "latency": now - request.arrival_seconds,
            "queue": admitted - request.arrival_seconds,
            "prefill": first - admitted,
            "decode": last - first,
            "inference": last - admitted,
        }
        for source, value in values.items():
            self.histograms[source].observe(value)
        if request.generated_tokens > 1:
            self.histograms["mean_gap"].observe((last - first) / (request.generated_tokens - 1))

    def page(self, scheduler: Scheduler) -> str:
        """The text of /metrics.

        Args:
            scheduler: whose gauges are read now.

        Returns:
            The exposition; with --disable-log-stats no ``vllm:`` metric is on it.
        """
        lines = [
            *header("process_start_time_seconds", "gauge", "Start of the process, Unix time."),
            sample("process_start_time_seconds", {}, self._started),
        ]
        if self._settings.log_stats:
            lines += [*self._gauge_lines(scheduler), *self._counter_lines(), *self._histogram_lines()]
            lines += self._info_lines()
        return "\n".join(lines) + "\n"

    def _gauge_lines(self, scheduler: Scheduler) -> list[str]:
        """The engine's state."""
        waiting = len(scheduler.waiting)
        values = {"running": len(scheduler.running), "waiting": waiting, "usage": scheduler.pool.usage}
        lines: list[str] = []
        for name in GAUGES:
            if name.visible(self._release):
                full = f"vllm:{name.text}"
                lines += [
                    *header(full, "gauge", "Engine state."),
                    sample(full, self._labels, values[name.source]),
                ]
        if self._release >= (0, 20):
            full = "vllm:num_requests_waiting_by_reason"
            lines += header(full, "gauge", "Waiting requests by reason.")
            lines += [
                sample(full, {**self._labels, "reason": reason}, count)
                for reason, count in (("capacity", waiting), ("deferred", 0))
            ]
        return lines

    def _counter_lines(self) -> list[str]:
        """All counters."""
        mfu = MFU_COUNTERS if self._settings.mfu_metrics else ()
        lines: list[str] = []
        for name in (*COUNTERS, *mfu):
            if name.visible(self._release):
                lines += self._counter(name.text, [({}, self.counters[name.source])])
        if self._release >= (0, 16):
            computed = self.counters["prompt"] - self.counters["cached"]
            sources = (("local_compute", computed), ("local_cache_hit", self.counters["cached"]))
            rows = [({"source": source}, value) for source, value in (*sources, ("external_kv_transfer", 0.0))]
            lines += self._counter("prompt_tokens_by_source", rows)
        reasons = [({"finished_reason": reason}, float(count)) for reason, count in self._finished.items()]
        return lines + self._counter("request_success", reasons)

    def _counter(self, text: str, rows: list[tuple[dict[str, str], float]]) -> list[str]:
        """One counter and when it was made."""
        made = [(labels, self._started) for labels, _ in rows]
        lines: list[str] = []
        for ending, kind, values in (("_total", "counter", rows), ("_created", "gauge", made)):
            full = f"vllm:{text}{ending}"
            lines += header(full, kind, "Engine counter.")
            lines += [sample(full, {**self._labels, **labels}, value) for labels, value in values]
        return lines

    def _histogram_lines(self) -> list[str]:
        """All histograms."""
        lines: list[str] = []
        for name in HISTOGRAMS:
            if name.visible(self._release):
                full = f"vllm:{name.text}"
                lines += header(full, "histogram", "Engine histogram.")
                lines += self.histograms[name.source].lines(full, self._labels)
                lines += header(f"{full}_created", "gauge", "Engine histogram.")
                lines.append(sample(f"{full}_created", self._labels, self._started))
        return lines

    def _info_lines(self) -> list[str]:
        """The cache's settings as labels."""
        full = "vllm:cache_config_info"
        labels: Mapping[str, str] = {key: str(value) for key, value in info_labels(self._settings).items()}
        return [*header(full, "gauge", "Cache settings."), sample(full, {**labels, "engine": "0"}, 1)]
