"""Generated observations, policies and argument lists, and the profile of all property tests: quick, repeatable."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from tests.support.build import H100, LLAMA, LLAMA_CONFIG, a, an, metrics

from inferplan.api.instance import Objective, OptimizerName, SLOMetric, WorkloadSpec
from inferplan.api.values import Engine
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator, from_catalogue
from inferplan.domain.measurement import Measured
from inferplan.domain.model_config import read_model_config
from inferplan.domain.observation import NO_MODEL_CONFIG, NOT_MEASURED, Metrics, Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, ServingConfig, Setting

quick = settings(max_examples=200, derandomize=True, deadline=None)

GPUS = (
    H100,
    Accelerator("NVIDIA-A100-SXM4-80GB", 1, 81_920, 80),
    Accelerator("NVIDIA-L4", 1, 23_034, 89),
    Accelerator("NVIDIA-B200", 1, 183_359, 100),
    Accelerator("NVIDIA-H200", 2, 143_771, None),
    UNKNOWN_ACCELERATOR,
)
_QWEN3 = a.model(
    architecture="Qwen3ForCausalLM",
    num_layers=36,
    intermediate_size=12_288,
    vocab_size=151_936,
    max_position_embeddings=40_960,
)
MODELS = (
    LLAMA,
    _QWEN3,
    a.model(quantization_method="awq"),
    a.model(weight_bits=32, max_position_embeddings=None),
    a.model(head_dim=64, tied_embeddings=True),
    NO_MODEL_CONFIG,
    read_model_config({**LLAMA_CONFIG, "architectures": ["JambaForCausalLM"]}),
)
VERSIONS = (*["0.33.0"] * 8, "0.33.1", "0.32.0", "0.20.2", "0.19.1", "0.9.1", None, "nightly")
FORBID = ("kvCache", "kv_cache", "quantization", "batching", "maxBatchSize", "max_batch_size", "--max-num-seqs")


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value nine times out of ten."""
    return st.integers(0, 9).flatmap(lambda drawn: st.none() if drawn == 7 else values)


caps = st.one_of(st.integers(1, 4096), st.sampled_from([1, 2, 32, 64, 256, 1024]))
explicit: st.SearchStrategy[Mapping[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "max_num_batched_tokens": st.sampled_from([32, 64, 512, 2048, 8192]),
        "max_model_len": st.sampled_from([1024, 8192, 131_072, "auto"]),
        "gpu_memory_utilization": st.sampled_from([0.1, 0.5, 0.92, 1.0]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "bfloat16", "nvfp4"]),
        "quantization": st.sampled_from(["none", "awq", "fp8_per_tensor"]),
        "dtype": st.sampled_from(["auto", "half", "float32"]),
        "tensor_parallel_size": st.sampled_from([1, 2, 16]),
        "pipeline_parallel_size": st.sampled_from([1, 2]),
        "data_parallel_size": st.sampled_from([1, 2]),
        "enable_chunked_prefill": st.booleans(),
        "performance_mode": st.sampled_from(["balanced", "throughput"]),
        "kv_cache_memory_bytes": st.just(10**10),
        "num_gpu_blocks_override": st.just(1000),
    },
)


few = explicit.flatmap(
    lambda every: st.lists(st.sampled_from(sorted(every) or [""]), max_size=2).map(
        lambda names: {name: every[name] for name in names if name}
    )
)


@st.composite
def _configs(draw: st.DrawFn, gpu: Accelerator) -> ServingConfig:
    """Settings that are mostly the defaults, each overridden now and then."""
    engine = draw(st.sampled_from([*[Engine.VLLM] * 8, Engine.SGLANG, Engine.TGI]))
    config = a.config(engine, draw(st.sampled_from(VERSIONS)), max_batch_size=draw(_maybe(caps)), **draw(few))
    return effective(config, gpu)


@st.composite
def loads(draw: st.DrawFn, cap: int | None) -> Metrics:
    """Metrics, each there or missing; often at the cap, often with a full cache."""
    top = float(cap or 64)
    shares = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.9, 0.95, 1.0]))
    running = st.one_of(st.floats(0, 2 * top), st.sampled_from([top, 0.96 * top, 0.0]))
    latencies = st.floats(0.1, 1000)
    return metrics(
        num_requests_running=draw(_maybe(running)),
        num_requests_waiting=draw(_maybe(st.sampled_from([0.0, 0.5, 1.0, 12.0, 1000.0]))),
        kv_cache_usage=draw(_maybe(shares)),
        preemptions_per_second=draw(_maybe(st.sampled_from([0.0, 0.0, 0.001, 5.0]))),
        kv_cache_tokens=draw(_maybe(st.one_of(st.integers(1, 10**7), st.sampled_from([400_000, 100_000])))),
        itl_mean_milliseconds=draw(_maybe(latencies)),
        itl_p99_milliseconds=draw(_maybe(latencies)),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any look at any instance; sometimes with nothing measured at all."""
    gpu = draw(st.sampled_from(GPUS))
    config = draw(_configs(gpu))
    seen = Metrics() if draw(st.integers(0, 9)) == 7 else draw(loads(config.integer("max_batch_size")))
    return Observation(config, gpu, draw(st.sampled_from(MODELS)), seen, replicas=draw(_maybe(st.integers(1, 8))))


@st.composite
def capped(draw: st.DrawFn) -> Observation:
    """Instances behind the scheduler's cap, most of which deserve a larger batch."""
    gpu = draw(st.sampled_from(GPUS[:4]))
    cap = draw(caps)
    config = effective(a.config(version="0.33.0", max_batch_size=cap, max_model_len=1024), gpu)
    seen = metrics(
        num_requests_running=draw(st.floats(0.95, 1.0)) * cap,
        num_requests_waiting=draw(st.floats(1.0, 1000.0)),
        kv_cache_usage=draw(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.6, 0.7]))),
        preemptions_per_second=draw(st.sampled_from([0.0, 0.0, 0.0, 1.0])),
        kv_cache_tokens=draw(st.one_of(st.integers(2000, 10**6), st.sampled_from([100_000, 400_000]))),
    )
    return Observation(config, gpu, draw(st.sampled_from(MODELS[:2])), seen)


WHOLE_GPUS = tuple(
    from_catalogue(name, 1)
    for name in ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-L4", "NVIDIA-B200", "MI300X", "Tesla-T4")
)
_SETTINGS: st.SearchStrategy[Mapping[str, Any]] = st.fixed_dictionaries(
    {"max_batch_size": st.sampled_from([1, 8, 32, 256]), "max_model_len": st.sampled_from([2048, 8192, 32_768])},
    optional={
        "max_num_batched_tokens": st.sampled_from([256, 2048, 16_384]),
        "gpu_memory_utilization": st.sampled_from([0.5, 0.7, 0.85]),
        "enable_prefix_caching": st.booleans(),
        "enforce_eager": st.booleans(),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "num_gpu_blocks_override": st.just(1000),
    },
)


@st.composite
def whole(draw: st.DrawFn) -> Observation:
    """An instance whose model, GPU and load are known in full: what the step model forecasts."""
    gpu, model = draw(st.sampled_from(WHOLE_GPUS)), draw(st.sampled_from(MODELS[:3]))
    version = draw(st.sampled_from(["0.33.0", "0.33.0", "0.29.0", "0.20.2", "0.11.2", "0.8.5"]))
    settings_drawn = draw(_SETTINGS)
    config = effective(a.config(Engine.VLLM, version, **settings_drawn), gpu)
    cap = settings_drawn["max_batch_size"]
    running = draw(st.floats(0.3, 1.0)) * cap
    usage = draw(st.sampled_from([0.05, 0.3, 0.8, 0.96, 1.0]))
    prompt, answer = draw(st.sampled_from([(50, 20), (500, 200), (1500, 100), (200, 1000)]))
    itl = draw(st.floats(5, 80))
    rate = running / (answer * itl / 1e3 + 0.2)
    seen = metrics(
        num_requests_running=running,
        num_requests_running_peak=running,
        num_requests_waiting=draw(st.sampled_from([0.0, 0.0, 3.0, 40.0])),
        kv_cache_usage=usage,
        kv_cache_usage_mean=usage * 0.9,
        kv_cache_usage_p99=usage,
        preemptions_per_second=draw(st.sampled_from([0.0, 0.0, 0.0, 0.2])),
        kv_cache_tokens=draw(_maybe(st.sampled_from([20_000, 100_000, 400_000]))),
        requests_per_second=rate,
        prompt_tokens_per_second=rate * prompt,
        generation_tokens_per_second=rate * answer,
        prompt_tokens_mean=prompt,
        prompt_tokens_p99=3 * prompt,
        generation_tokens_mean=answer,
        generation_tokens_p99=3 * answer,
        prefix_cache_hit_share=draw(st.sampled_from([0.0, 0.3, 0.8])),
        tokens_per_step=draw(st.sampled_from([20.0, 500.0, 2040.0])),
        prefill_time_mean_milliseconds=draw(st.floats(5, 500)),
        itl_mean_milliseconds=itl,
        ttft_mean_milliseconds=draw(st.floats(20, 5000)),
        uptime_seconds=86_400.0,
        restarts=0.0,
    )
    targets = (("itl p95", Measured(itl * 1.5, "ms", "vllm:itl", 900)),)
    return Observation(config, gpu, model, replace(seen, slo_milliseconds=targets), replicas=1)


@st.composite
def sharing(draw: st.DrawFn) -> Observation:
    """The same where somebody switched prefix caching off, and the owner says what share of the prompts repeats."""
    seen = draw(whole())
    off = seen.config.with_settings({"enable_prefix_caching": Setting(value=False, origin=Origin.ARGUMENT)})
    metrics_without = replace(seen.metrics, prefix_cache_hit_share=NOT_MEASURED)
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return replace(seen, config=off, metrics=metrics_without, declared=WorkloadSpec(prefix_share=share))


@st.composite
def declared(draw: st.DrawFn) -> Observation:
    """An instance of which nothing was measured, and whose owner says what comes."""
    seen = draw(st.one_of(whole(), sharing()))
    prompt, answer = draw(st.sampled_from([(50, 20), (1000, 300), (6000, 200), (200, 1000)]))
    concurrency = draw(st.sampled_from([None, 1, 40, 300, 5000]))
    traffic = WorkloadSpec(
        input_tokens=prompt,
        output_tokens=answer,
        concurrency=concurrency,
        requests_per_second=draw(st.sampled_from([0.1, 3.0, 100.0])) if concurrency is None else None,
        prefix_share=seen.declared.prefix_share if seen.declared is not None else None,
    )
    return replace(seen, metrics=Metrics(), declared=traffic, replicas=draw(st.sampled_from([None, 1, 4])))


policies = st.builds(
    Policy,
    objective=st.sampled_from(Objective),
    slo=st.lists(
        st.builds(
            an.slo,
            metric=st.sampled_from(SLOMetric),
            percentile=st.sampled_from([50, 95, 99]),
            target_milliseconds=st.sampled_from([1, 50, 10_000]),
        ),
        max_size=2,
    ).map(tuple),
    optimizers=st.sampled_from([tuple(OptimizerName), (OptimizerName.BATCHING,), (OptimizerName.KV_CACHE,)]),
    forbid=st.lists(st.sampled_from(FORBID), max_size=2).map(tuple),
    min_max_model_len=_maybe(st.integers(1, 10**6)),
    minimum_gain_percent=st.sampled_from([0, 5, 60]),
    rules_of_thumb=st.booleans(),
)
