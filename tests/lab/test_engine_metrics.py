"""The simulator's /metrics page and step times."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from inferplan_lab.engine.events import BatchShape, Request
from inferplan_lab.engine.exposition import Histogram, escaped, one_two_five
from inferplan_lab.engine.flags import parse
from inferplan_lab.engine.geometry import LLAMA_3_1_8B, Experts, Geometry
from inferplan_lab.engine.hardware import gpu_of
from inferplan_lab.engine.limits import Machine
from inferplan_lab.engine.metrics import EngineMetrics
from inferplan_lab.engine.prefix_cache import BlockPool
from inferplan_lab.engine.scheduler import Scheduler
from inferplan_lab.engine.settings import EngineSettings, resolve
from inferplan_lab.engine.step_time import FIXED_SECONDS, StepTimer


def settings(version: str, *words: str, geometry: Geometry = LLAMA_3_1_8B, gpus: int = 1) -> EngineSettings:
    flags = parse(version, ["m", "--max-model-len", "4096", *words], api_server=False)
    return resolve(flags, Machine(version, gpu_of("NVIDIA-H100-80GB-HBM3"), gpus), geometry)


class Run:
    """An engine that has served two requests, the second with a known beginning."""

    def __init__(self, version: str, *words: str) -> None:
        chosen = settings(version, *words)
        timer = StepTimer(chosen)
        pool = BlockPool(chosen.kv.blocks, caching=True)
        self.scheduler = Scheduler(chosen.batching, pool, 16, timer.wall_seconds)
        self.metrics = EngineMetrics(chosen, 1000.0)
        now = 5.0
        for name in ("a", "b"):
            self.scheduler.add(Request(name, 40, 3, now, keys=[1, 2]))
            while self.scheduler.busy:
                result = self.scheduler.step(now)
                self.metrics.record(result, timer.cost(result.shape))
                now = result.ended_seconds
        self.now = now

    def samples(self) -> list[Sample]:
        families = text_string_to_metric_families(self.metrics.page(self.scheduler))
        return [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        found = [
            sample.value for sample in self.samples() if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples()}


COMMON = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_preemptions_total",
    "vllm:num_preemptions_created",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:iteration_tokens_total_sum",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_count",
    "vllm:request_queue_time_seconds_sum",
    "vllm:cache_config_info",
}
OLD_CACHE = {"vllm:gpu_cache_usage_perc", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_hits_total"}
NEW_CACHE = {"vllm:kv_cache_usage_perc", "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"}
OLD_GAP, NEW_GAP = {"vllm:time_per_output_token_seconds_sum"}, {"vllm:inter_token_latency_seconds_sum"}


@pytest.mark.parametrize(
    ("version", "present", "absent"),
    [
        ("0.8.5", OLD_CACHE | OLD_GAP, NEW_CACHE | NEW_GAP),
        ("0.10.2", OLD_CACHE | NEW_CACHE | OLD_GAP | NEW_GAP, {"vllm:prompt_tokens_cached_total"}),
        ("0.12.0", NEW_CACHE | NEW_GAP, OLD_CACHE | OLD_GAP),
        ("0.17.1", NEW_CACHE | {"vllm:prompt_tokens_cached_total"}, {"vllm:num_requests_waiting_by_reason"}),
        ("0.24.0", {"vllm:num_requests_waiting_by_reason"}, {"vllm:request_num_preemptions_count"}),
        ("0.33.0", NEW_CACHE | NEW_GAP | {"vllm:request_num_preemptions_count"}, OLD_CACHE | OLD_GAP),
    ],
)
def test_each_release_uses_its_own_names(version: str, present: set[str], absent: set[str]) -> None:
    names = Run(version).names()
    assert COMMON | present <= names
    assert not absent & names


def test_the_counts_are_those_of_two_requests() -> None:
    run = Run("0.33.0")
    expected = {
        "vllm:prompt_tokens_total": 80,
        "vllm:generation_tokens_total": 6,
        "vllm:prefix_cache_queries_total": 80,
        "vllm:prefix_cache_hits_total": 32,  # two blocks of 16
        "vllm:prompt_tokens_cached_total": 32,
        "vllm:time_to_first_token_seconds_count": 2,
        "vllm:inter_token_latency_seconds_count": 4,
        "vllm:iteration_tokens_total_sum": 40 + 8 + 4,
        "vllm:iteration_tokens_total_count": 6,
        "vllm:request_prefill_kv_computed_tokens_sum": 48,
        "vllm:num_requests_running": 0,
        "vllm:kv_cache_usage_perc": 0,
    }
    assert {name: run.value(name) for name in expected} == expected
    assert run.value("vllm:request_success_total", finished_reason="length") == 2
    assert run.value("vllm:prompt_tokens_by_source_total", source="local_cache_hit") == 32


def test_times_add_up() -> None:
    run = Run("0.33.0")
    total = run.value("vllm:e2e_request_latency_seconds_sum")
    parts = ("request_queue_time", "request_prefill_time", "request_decode_time")
    assert math.isclose(total, sum(run.value(f"vllm:{part}_seconds_sum") for part in parts))
    assert math.isclose(total, run.now - 5.0)


def test_samples_carry_model_and_engine() -> None:
    for sample in Run("0.33.0").samples():
        if sample.name.startswith("vllm:") and sample.name != "vllm:cache_config_info":
            assert sample.labels["model_name"] == "m"
            assert sample.labels["engine"] == "0"


def test_buckets_are_vllms() -> None:
    samples = Run("0.33.0").samples()

    def edges(name: str) -> list[str]:
        return [sample.labels["le"] for sample in samples if sample.name == f"vllm:{name}_bucket"]

    assert edges("iteration_tokens_total") == [
        *("1.0", "8.0", "16.0", "32.0", "64.0", "128.0", "256.0", "512.0"),
        *("1024.0", "2048.0", "4096.0", "8192.0", "16384.0", "+Inf"),
    ]
    assert edges("request_prompt_tokens")[-3:] == ["1000.0", "2000.0", "+Inf"]  # of 4096
    assert edges("time_to_first_token_seconds")[:2] == ["0.001", "0.005"]
    assert edges("e2e_request_latency_seconds")[:3] == ["0.3", "0.5", "0.8"]
    assert len(edges("inter_token_latency_seconds")) == 20


@pytest.mark.parametrize(
    ("version", "present", "absent"),
    [
        ("0.8.5", {"swap_space": "4.0"}, {"kv_cache_size_tokens", "kv_cache_memory_bytes"}),
        ("0.20.2", {"kv_offloading_size": "None"}, {"swap_space", "kv_cache_size_tokens"}),
        ("0.33.0", {"kv_cache_size_tokens": "4800", "effective_attention_block_size": "16"}, {"swap_space"}),
    ],
)
def test_the_cache_info_follows_the_release(version: str, present: dict[str, str], absent: set[str]) -> None:
    run = Run(version, "--num-gpu-blocks-override", "300")
    (labels,) = (sample.labels for sample in run.samples() if sample.name == "vllm:cache_config_info")
    assert {"num_gpu_blocks": "300", "block_size": "16", "cache_dtype": "auto", **present}.items() <= labels.items()
    assert not absent & labels.keys()


def test_mfu_counters_come_with_their_flag() -> None:
    assert "vllm:estimated_flops_per_gpu_total" not in Run("0.33.0").names()
    run = Run("0.33.0", "--enable-mfu-metrics")
    # 52 tokens x 2 x weights that a token uses
    assert run.value("vllm:estimated_flops_per_gpu_total") == 52 * 2 * LLAMA_3_1_8B.parameters(active=True)


def test_without_stats_no_engine_metric_is_left() -> None:
    assert Run("0.33.0", "--disable-log-stats").names() == {"process_start_time_seconds"}


def test_a_dropped_request_counts_as_aborted() -> None:
    run = Run("0.33.0")
    run.metrics.aborted(Request("c", 10, 5, run.now), run.now + 1)
    assert run.value("vllm:request_success_total", finished_reason="abort") == 1
    assert run.value("vllm:request_decode_time_seconds_count") == 3


def test_a_value_on_a_bound_is_below_it() -> None:
    histogram = Histogram((1, 2))
    for value in (1, 1.5, 3):
        histogram.observe(value)
    assert histogram.total == 3
    assert [line.split()[-1] for line in histogram.lines("h", {})] == ["1.0", "2.0", "3.0", "3.0", "5.5"]


def test_bounds_and_label_values_are_written_as_prometheus_wants_them() -> None:
    assert one_two_five(60) == (1, 2, 5, 10, 20, 50)
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_a_small_batch_is_bound_by_memory_and_a_large_one_by_arithmetic() -> None:
    timer = StepTimer(settings("0.33.0"))
    small = timer.cost(BatchShape(0, 1, 1))
    assert small.seconds == pytest.approx(FIXED_SECONDS + small.read_bytes / (0.8 * 3.35e12))
    large = timer.cost(BatchShape(8192, 0, 8192))
    assert large.seconds == pytest.approx(FIXED_SECONDS + large.flops / (0.7 * 989e12))
    assert timer.cost(BatchShape(0, 1, 100_000)).seconds > small.seconds


def test_speed_divides_the_wall_time() -> None:
    chosen, shape = settings("0.33.0"), BatchShape(0, 4, 400)
    assert StepTimer(chosen, 4.0).wall_seconds(shape) == pytest.approx(StepTimer(chosen).wall_seconds(shape) / 4)


def test_two_gpus_and_graphs_are_faster() -> None:
    shape = BatchShape(0, 4, 400)
    one, two = StepTimer(settings("0.33.0")), StepTimer(settings("0.33.0", "-tp", "2", gpus=2))
    eager = StepTimer(settings("0.33.0", "--enforce-eager"))
    assert two.cost(shape).seconds < one.cost(shape).seconds < eager.cost(shape).seconds


def test_a_sparse_model_reads_more_experts_for_more_tokens() -> None:
    sparse = Geometry(4, 1024, 8, 8, 128, 0, 1000, 4096, experts=Experts(64, 4, 512))
    timer = StepTimer(settings("0.33.0", geometry=sparse))
    reads = [timer.cost(BatchShape(0, tokens, 0)).read_bytes for tokens in (1, 8, 1000)]
    assert reads == sorted(reads)
    assert reads[-1] == pytest.approx(sparse.parameters() * 2, rel=0.01)
