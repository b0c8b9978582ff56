"""Whatever the body is, the answer is 200, 400, 413 or 422: never an internal error."""

import asyncio
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.web import FakePages, Service

from inferplan.api.measured_metrics import MeasuredMetrics

ALLOWED = {200, 400, 422}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WHOLE = st.sampled_from([0, 1, 2, 31, 32, 4096, 128_256, 10**7, 2**53, 10**30, -1, "32", "auto", 1.5, True, None])
REAL = st.sampled_from([0, 1e-9, 0.3, 0.95, 1, 1.0, 12, 32, 400_000, 1e12, 1e300, -1])
ENGINES = st.sampled_from(["vllm", "sglang", "tgi", "ollama"])


def mapping(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


CONFIG = mapping(
    architectures=st.just(["LlamaForCausalLM"]) | JSON,
    hidden_size=st.sampled_from([1, 4096, 10**7]) | JSON,
    intermediate_size=st.sampled_from([1, 14336]),
    num_attention_heads=st.sampled_from([1, 32, 10**7]),
    num_hidden_layers=st.sampled_from([1, 32]),
    num_key_value_heads=st.sampled_from([1, 8]),
    vocab_size=st.sampled_from([1, 128_256, 10**7]),
    torch_dtype=st.sampled_from(["bfloat16", "float32", "int4"]) | JSON,
    max_position_embeddings=WHOLE,
    quantization_config=JSON,
)
REQUEST = st.fixed_dictionaries(
    {"instance_id": st.text(min_size=1, max_size=20), "instance_type": ENGINES},
    optional={
        "engine_version": st.sampled_from(["0.33.0", "0.8.5", "0.5.23", "x", "999999999999.0"]),
        "current_config": mapping(
            max_batch_size=WHOLE,
            max_model_len=WHOLE,
            max_num_batched_tokens=WHOLE,
            block_size=WHOLE,
            tensor_parallel_size=WHOLE,
            pipeline_parallel_size=st.just(1) | WHOLE,
            gpu_memory_utilization=REAL,
            kv_cache_dtype=st.sampled_from(["auto", "fp8", "", "x" * 300]),
            quantization=st.sampled_from(["none", "fp8", None]),
        ),
        "model": mapping(id=st.text(max_size=5), config=CONFIG),
        "accelerator": mapping(
            product=st.sampled_from(["NVIDIA-H100-80GB-HBM3", "NVIDIA-L4", "x"]), count=WHOLE, memory_gib=WHOLE
        ),
        "metrics": mapping(
            window_seconds=WHOLE,
            num_requests_running=REAL,
            num_requests_waiting=REAL,
            kv_cache_usage=REAL,
            kv_cache_tokens=WHOLE,
            preemptions_per_second=REAL,
            itl_mean_milliseconds=REAL,
            itl_p99_milliseconds=REAL,
        ),
        "slo_targets": st.lists(
            st.fixed_dictionaries(
                {
                    "metric": st.sampled_from(["ttft", "itl"]),
                    "percentile": st.sampled_from([50, 95, 99, 100]),
                    "target_milliseconds": st.sampled_from([1, 500]),
                }
            ),
            max_size=2,
        ),
        "constraints": mapping(
            forbid=st.lists(st.sampled_from(["batching", "block_size", "x"])), min_max_model_len=WHOLE
        ),
        "objective": st.sampled_from(["latency", "throughput"]),
    },
)
# A request of which every part is right gets as far as the planner, where a mistake would show.
SOUND = st.fixed_dictionaries(
    {
        "instance_id": st.just("a"),
        "instance_type": st.sampled_from(["vllm", "sglang"]),
        "engine_version": st.sampled_from(["0.33.0", "0.20.2", "0.8.5"]),
        "current_config": st.fixed_dictionaries(
            {
                "max_batch_size": st.sampled_from([1, 2, 31, 32, 256, 2**53]),
                "kv_cache_dtype": st.sampled_from(["auto", "fp8", "nvfp4"]),
                "tensor_parallel_size": st.sampled_from([1, 8, 2**53]),
                "max_model_len": st.sampled_from([1, 4096, 2**53]),
                "pipeline_parallel_size": st.just(1),
            }
        ),
        "model": st.builds(
            lambda heads, hidden: {
                "config": {
                    "architectures": ["LlamaForCausalLM"],
                    "hidden_size": hidden,
                    "intermediate_size": 1,
                    "num_attention_heads": heads,
                    "num_hidden_layers": 1,
                    "vocab_size": 10**7,
                    "torch_dtype": "bfloat16",
                }
            },
            st.sampled_from([1, 32]),
            st.sampled_from([32, 4096, 10**7]),
        ),
        "accelerator": st.just({"product": "NVIDIA-H100-80GB-HBM3", "count": 1}),
        "metrics": st.fixed_dictionaries(
            {
                "num_requests_running": st.sampled_from([0, 1e-9, 1, 32, 256, 1e12]),
                "num_requests_waiting": st.sampled_from([0, 1, 12, 1e12]),
                "kv_cache_usage": st.sampled_from([0, 1e-12, 0.3, 0.95, 1]),
                "kv_cache_tokens": st.sampled_from([1, 60_000, 10**12]),
                "itl_mean_milliseconds": st.sampled_from([1e-9, 12, 1e12]),
                "itl_p99_milliseconds": st.sampled_from([1e-9, 12, 1e12]),
            }
        ),
    }
)


LOOKS = st.fixed_dictionaries(
    {
        "instance_id": st.text(min_size=1, max_size=20)
        | st.sampled_from(["localhost:8000", "10.0.0.1:80", "a/b", "127.1:1", "[::1]:8000", "http://a:1/x", "::1:2"]),
        "instance_type": ENGINES,
    },
    optional={
        "engine_version": st.sampled_from(["0.33.0", "0.8.5", "x"]),
        "current_config": mapping(max_batch_size=WHOLE, max_num_batched_tokens=WHOLE, data_parallel_size=WHOLE),
        "model": mapping(id=st.text(max_size=5), config=CONFIG),
        "accelerator": mapping(product=st.sampled_from(["NVIDIA-L4", "x"]), count=WHOLE),
        "metrics": st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(MeasuredMetrics.model_fields), REAL)),
        "slo_targets": st.lists(
            st.fixed_dictionaries(
                {
                    "metric": st.sampled_from(["ttft", "itl", "tpot", "e2e"]),
                    "percentile": st.sampled_from([50, 95, 99]),
                    "target_milliseconds": st.sampled_from([1, 500]),
                }
            ),
            max_size=2,
        ),
        "metrics_text": st.lists(
            st.text(max_size=30)
            | st.sampled_from(
                [
                    "vllm:num_requests_running 1\n",
                    'vllm:num_requests_running{model_name="a"} NaN\nvllm:num_requests_waiting 1e999\n',
                    'vllm:time_to_first_token_seconds_bucket{le="x"} 1\n',
                    "# scraped-at: 2026-03-01T12:00:00Z\nprocess_start_time_seconds 1\nvllm:kv_cache_usage_perc 7\n",
                ]
            ),
            max_size=3,
        ),
        "interval_seconds": REAL,
        "sample_seconds": REAL,
    },
)


def looked(body: bytes) -> int:
    """Status of an analysis."""
    return asyncio.run(_service().analyze(body)).status


@cache
def _service() -> Service:
    """One for all examples, as making it takes longer than they do. The engine at localhost has a page of one line."""
    return Service(FakePages({8000: ["vllm:num_requests_running 1\n"]}))


@pytest.mark.timeout(60)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_an_analysis_or_a_refusal(body: bytes) -> None:
    assert looked(body) in ALLOWED


@pytest.mark.timeout(60)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LOOKS)
def test_any_look_gets_an_analysis_or_a_refusal(body: dict[str, Any]) -> None:
    assert looked(json.dumps(body).encode()) in {*ALLOWED, 403, 404}


def status(body: bytes) -> int:
    """Status of a plan."""
    return asyncio.run(_service().optimize(body)).status


@pytest.mark.timeout(60)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    assert status(body) in ALLOWED


@pytest.mark.timeout(60)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUEST)
def test_any_request_gets_an_answer(body: dict[str, Any]) -> None:
    assert status(json.dumps(body).encode()) in ALLOWED


@pytest.mark.timeout(60)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SOUND)
def test_any_sound_request_gets_a_plan(body: dict[str, Any]) -> None:
    assert status(json.dumps(body).encode()) == 200
