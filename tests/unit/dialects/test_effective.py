"""What really runs: settings and defaults by release and hardware.

The vLLM numbers are what these releases' own config resolution gave on faked GPUs with a small Llama (8192 tokens).
"""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, a

from inferplan.api.values import Engine
from inferplan.dialects.effective import changed, defaults, effective
from inferplan.dialects.registry import releases
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator
from inferplan.domain.serving import Origin, ServingConfig, Setting

A100 = Accelerator("NVIDIA-A100-SXM4-80GB", 1, 81_920, 80)
B200 = Accelerator("NVIDIA-B200", 1, 183_359, 100)
L4 = Accelerator("NVIDIA-L4", 1, 23_034, 89)
T4 = Accelerator("Tesla-T4", 1, 15_360, 75)
GB10 = Accelerator("NVIDIA-GB10", 1, 122_880, 121)
SHORT = a.model(max_position_embeddings=8192)


def batch(config: ServingConfig) -> tuple[int | None, int | None]:
    return config.integer("max_num_batched_tokens"), config.integer("max_batch_size")


@pytest.mark.parametrize(
    ("version", "gpu", "tokens", "sequences"),
    [
        ("0.33.0", H100, 8192, 1024),
        ("0.33.0", A100, 2048, 256),
        ("0.33.0", L4, 2048, 256),
        ("0.33.0", B200, 16_384, 1024),
        ("0.28.0", B200, 16_384, 1024),
        ("0.27.1", B200, 8192, 1024),
        ("0.33.0", GB10, 2048, 256),
        ("0.31.0", GB10, 8192, 1024),
        ("0.9.2", A100, 2048, 256),
        ("0.8.5", A100, 8192, 1024),
        ("0.8.5", L4, 2048, 256),
        ("0.33.0", UNKNOWN_ACCELERATOR, None, None),
        ("0.33.0", replace(H100, product=None), None, None),  # it might be an A100
        ("0.33.0", replace(L4, product=None), 2048, 256),  # too small for that to matter
        ("0.8.5", replace(H100, product=None), 8192, 1024),  # that release looks at no name
        ("0.10.0", replace(L4, compute_capability=None), None, None),  # below 8.0 it would run on V0
        ("0.34.0", H100, 8192, 1024),  # newer than all: as the two newest
        ("0.34.0", GB10, None, None),  # in which they differ
    ],
)
def test_batch_defaults_follow_release_and_gpu(
    version: str, gpu: Accelerator, tokens: int | None, sequences: int | None
) -> None:
    assert batch(effective(a.config(version=version), gpu)) == (tokens, sequences)


@pytest.mark.parametrize(
    ("settings", "sequences", "tokens"),
    [
        ({"max_num_batched_tokens": 512}, 512, 512),  # the default of 1024 sequences gives way
        ({"max_batch_size": 4, "max_model_len": 1024}, 4, 4096),  # 4 x 1024 < 8192
        ({"max_batch_size": 64}, 64, 8192),
        ({"max_batch_size": 64, "max_model_len": "auto"}, 64, 8192),
        ({"max_batch_size": 4}, 4, None),  # 4 x the model's length may be less than 8192
        ({"max_batch_size": 64, "max_num_batched_tokens": 4096, "max_model_len": 8}, 64, 4096),
        ({"enable_chunked_prefill": False}, 1024, None),  # then max_model_len at least, and that may be the model's
        ({"enable_chunked_prefill": False, "max_model_len": 16_000}, 1024, 16_000),
        ({"enable_chunked_prefill": False, "max_model_len": 4096}, 1024, 8192),
        ({"performance_mode": "throughput"}, 2048, 16_384),
        ({"performance_mode": "throughput", "max_batch_size": 64}, 64, 16_384),
        ({"performance_mode": "throughput", "max_num_batched_tokens": 4096}, 2048, 4096),
        ({"performance_mode": "interactivity"}, 1024, 8192),
        ({"performance_mode": "balanced"}, 1024, 8192),
        ({"runner": "pooling"}, None, None),
        (
            {"all2all_backend": "deepep_low_latency", "enable_expert_parallel": True, "data_parallel_size": 8},
            256,
            256,  # 256 tokens, and no more sequences than tokens
        ),
    ],
)
def test_batch_defaults_give_way_to_what_is_set(
    settings: dict[str, Any], sequences: int | None, tokens: int | None
) -> None:
    assert batch(effective(a.config(**settings), H100)) == (tokens, sequences)


@pytest.mark.parametrize(
    ("version", "settings", "tokens", "sequences"),
    [
        ("0.8.5", {"max_num_batched_tokens": 512}, 512, 1024),  # not bounded yet: the engine refuses it
        ("0.10.0", {"max_batch_size": 4, "max_model_len": 1024}, 8192, 4),
        ("0.11.0", {"enable_chunked_prefill": False, "max_model_len": 16_000}, 8192, 1024),  # V1 always chunks
        ("0.11.1", {"enable_chunked_prefill": False, "max_model_len": 16_000}, 16_000, 1024),
        ("0.16.0", {"max_batch_size": 4, "max_model_len": 1024}, 4096, 4),
    ],
)
def test_older_releases_bound_less(version: str, settings: dict[str, Any], tokens: int, sequences: int) -> None:
    assert batch(effective(a.config(version=version, **settings), H100)) == (tokens, sequences)


@pytest.mark.parametrize("key", ["max_batch_size", "max_num_batched_tokens", "performance_mode"])
def test_a_batch_setting_that_could_not_be_read_leaves_both_limits_unknown(key: str) -> None:
    config = effective(a.config(), H100, frozenset({key}))
    assert batch(config) == (None, None)
    assert config.fraction("gpu_memory_utilization") == 0.92


@pytest.mark.parametrize(("version", "share"), [("0.19.1", 0.9), ("0.20.2", 0.92), ("0.20.0", None), ("0.33.0", 0.92)])
def test_between_two_releases_a_default_needs_both(version: str, share: float | None) -> None:
    setting = defaults(Engine.VLLM, version, H100).get("gpu_memory_utilization")
    assert (setting.value if setting is not None else None) == share


@pytest.mark.parametrize(
    ("engine", "version"),
    [
        (Engine.VLLM, None),
        (Engine.VLLM, "0.6.5"),
        (Engine.VLLM, "latest"),
        (Engine.SGLANG, "0.4.9"),
        (Engine.SGLANG, None),
        (Engine.TGI, "3.0.0"),
    ],
)
def test_defaults_that_were_not_read_are_not_known(engine: Engine, version: str | None) -> None:
    assert not defaults(engine, version, H100)


@pytest.mark.parametrize(
    ("version", "environment", "gpu", "caching"),
    [
        ("0.6.6", {}, H100, False),
        ("0.7.3", {"VLLM_USE_V1": "1"}, H100, True),
        ("0.7.3", {"VLLM_USE_V1": None}, H100, None),
        ("0.8.5", {}, H100, True),
        ("0.8.5", {"VLLM_USE_V1": "0"}, H100, False),
        ("0.10.0", {}, T4, False),  # V1 needs Ampere
        ("0.10.2", {}, T4, True),
        ("0.10.0", {"VLLM_ATTENTION_BACKEND": "XFORMERS"}, H100, None),  # V1 does not have it: back to V0
        ("0.11.0", {"VLLM_USE_V1": "0"}, H100, True),  # V0 is gone
    ],
)
def test_prefix_caching_is_on_where_v1_runs(
    version: str, environment: dict[str, str | None], gpu: Accelerator, caching: bool | None
) -> None:
    assert effective(a.config(version=version), gpu, environment=environment).flag("enable_prefix_caching") is caching


@pytest.mark.parametrize(
    "setting", [{"num_scheduler_steps": 8}, {"kv_cache_dtype": "fp8"}, {"speculative_config": '{"method":"ngram"}'}]
)
def test_a_setting_that_may_bring_v0_back_leaves_its_defaults_unknown(setting: dict[str, Any]) -> None:
    config = effective(a.config(version="0.9.2", **setting), H100, model=SHORT)
    assert config.flag("enable_prefix_caching") is None
    assert batch(config) == (None, None)


@pytest.mark.parametrize(
    ("settings", "chunked", "tokens"),
    [
        ({}, False, 8192),  # the model's length
        ({"max_model_len": 1024}, False, 2048),
        ({"enable_chunked_prefill": True}, True, 2048),
        ({"num_scheduler_steps": 8}, False, None),
    ],
)
def test_v0_takes_whole_prompts(settings: dict[str, Any], chunked: bool, tokens: int | None) -> None:
    config = effective(a.config(version="0.7.3", **settings), H100, model=SHORT)
    assert (config.flag("enable_chunked_prefill"), config.integer("max_num_batched_tokens")) == (chunked, tokens)
    assert (config.integer("max_batch_size"), config.fraction("swap_space")) == (256, 4.0)


def test_v0_chunks_long_contexts() -> None:
    config = effective(a.config(version="0.6.6"), H100, model=a.model())  # 131,072 > 32,768
    assert (config.flag("enable_chunked_prefill"), config.integer("max_num_batched_tokens")) == (True, 2048)


def test_v0_without_a_model_says_nothing_of_prefills() -> None:
    config = effective(a.config(version="0.6.6"), H100)
    assert (config.flag("enable_chunked_prefill"), config.integer("max_num_batched_tokens")) == (None, None)
    assert config.integer("max_batch_size") == 256


@pytest.mark.parametrize(
    ("version", "settings", "asynchronous"),
    [
        ("0.9.2", {}, None),  # no such flag
        ("0.13.0", {}, False),
        ("0.14.1", {}, True),
        ("0.14.1", {"pipeline_parallel_size": 2}, False),
        ("0.15.1", {"pipeline_parallel_size": 2}, None),
        ("0.32.0", {"speculative_config": '{"method": "ngram", "num_speculative_tokens": 3}'}, False),
        ("0.33.0", {"speculative_config": '{"method": "ngram"}'}, None),  # depends on the model runner
        ("0.31.0", {"speculative_config": "{"}, None),
        ("0.33.0", {"spec_method": "eagle"}, None),
        ("0.33.0", {"distributed_executor_backend": "ray"}, None),
        ("0.33.0", {"tensor_parallel_size": 16}, None),  # more than the pod's 8 GPUs: perhaps Ray
        ("0.33.0", {"tensor_parallel_size": 8}, True),
        ("0.33.0", {"async_scheduling": False}, False),
    ],
)
def test_async_scheduling_is_the_default_where_everything_can_do_it(
    version: str, settings: dict[str, Any], asynchronous: bool | None
) -> None:
    config = effective(a.config(version=version, **settings), replace(H100, count=8))
    assert config.flag("async_scheduling") is asynchronous


def test_the_models_own_length_and_block_size_need_the_model() -> None:
    known = effective(a.config(), H100, model=a.model())
    assert (known.integer("max_model_len"), known.integer("block_size")) == (131_072, 16)
    assert known.settings["max_model_len"].origin is Origin.VERSION_DEFAULT
    unknown = effective(a.config(), H100)
    assert (unknown.value("max_model_len"), unknown.value("block_size")) == (None, None)


@pytest.mark.parametrize("changes", [{"attention_backend": "FLASHINFER"}, {"kv_cache_dtype": "fp8"}])
def test_another_attention_backend_may_want_other_blocks(changes: dict[str, Any]) -> None:
    assert effective(a.config(**changes), H100, model=a.model()).value("block_size") is None


def test_defaults_of_the_parser_are_the_releases_own() -> None:
    found = defaults(Engine.VLLM, "0.33.0", H100)
    assert {key: setting.value for key, setting in found.items()} == {
        "async_scheduling": True,
        "attention_backend": "auto",
        "cpu_offload_gb": 0.0,
        "data_parallel_size": 1,
        "dtype": "auto",
        "enable_chunked_prefill": True,
        "enable_expert_parallel": False,
        "enable_prefix_caching": True,
        "enforce_eager": False,
        "gpu_memory_utilization": 0.92,
        "kv_cache_dtype": "auto",
        "max_batch_size": 1024,
        "max_num_batched_tokens": 8192,
        "pipeline_parallel_size": 1,
        "quantization": "none",
        "scheduling_policy": "fcfs",
        "tensor_parallel_size": 1,
    }
    assert "data_parallel_size" not in defaults(Engine.VLLM, "0.7.3", H100)
    assert "swap_space" not in found


@pytest.mark.parametrize(
    ("version", "gpu", "tokens"),
    [
        ("0.5.23", H100, 8192),
        ("0.5.23", L4, 4096),
        ("0.5.18", L4, 2048),
        ("0.5.19", L4, None),  # 0.5.18 and 0.5.20 differ
        ("0.5.23", T4, 2048),
        ("0.5.23", B200, 16_384),
        ("0.5.2", Accelerator("NVIDIA-L40S", 1, 46_068, 89), 8192),
        ("0.5.5.post3", Accelerator("NVIDIA-L40S", 1, 46_068, 89), 4096),
        ("0.5.23", UNKNOWN_ACCELERATOR, None),
        ("0.6.0", H100, 8192),
    ],
)
def test_sglang_chunks_by_the_gpus_memory(version: str, gpu: Accelerator, tokens: int | None) -> None:
    found = effective(a.config(Engine.SGLANG, version), gpu)
    assert found.value("max_num_batched_tokens") == tokens
    assert found.flag("enable_prefix_caching") is True


@pytest.mark.parametrize(
    "settings", [{"max_num_batched_tokens": "off"}, {"enable_chunked_prefill": False}, {"enable_dp_attention": True}]
)
def test_sglang_without_chunks_has_no_chunk_size(settings: dict[str, Any]) -> None:
    found = effective(a.config(Engine.SGLANG, "0.5.23", **settings), H100)
    assert found.integer("max_num_batched_tokens") is None


@pytest.mark.parametrize("version", releases(Engine.VLLM))
def test_what_is_set_stays_as_it_is(version: str) -> None:
    config = a.config(version=version, max_batch_size=7, dtype="float32", enable_prefix_caching=False)
    found = effective(config, H100, model=a.model())
    assert {key: found.settings[key] for key in config.settings} == dict(config.settings)


A100 = Accelerator("NVIDIA-A100-SXM4-40GB", 1, 40_960, 80, "nodeLabels")
GIVEN = Setting(value=True, origin=Origin.ARGUMENT)


@pytest.mark.parametrize(
    ("stated", "settings", "moved"),
    [
        ({"enable_chunked_prefill": False}, {"enable_chunked_prefill": None},
         {"enable_chunked_prefill": True, "max_num_batched_tokens": 2048}),
        ({"enable_chunked_prefill": False}, {"max_model_len": Setting(8192, Origin.ARGUMENT)},
         {"max_model_len": 8192, "max_num_batched_tokens": 8192}),
        ({"max_model_len": 1024}, {"max_batch_size": Setting(1, Origin.ARGUMENT)},
         {"max_batch_size": 1, "max_num_batched_tokens": 1024}),
        ({}, {"kv_cache_dtype": Setting("fp8", Origin.ARGUMENT)}, {"kv_cache_dtype": "fp8", "block_size": None}),
        ({"max_batch_size": 8}, {"max_batch_size": None}, {"max_batch_size": 256}),
        ({}, {"enforce_eager": GIVEN}, {"enforce_eager": True}),
    ],
)  # fmt: skip
def test_defaults_that_hang_on_a_change_move_with_it(
    stated: dict[str, Any], settings: dict[str, Setting | None], moved: dict[str, Any]
) -> None:
    before = effective(a.config(**stated), A100, model=a.model())
    after = changed(before, settings, A100, a.model())
    keys = before.settings.keys() | after.settings.keys()
    assert {key: after.value(key) for key in keys if after.value(key) != before.value(key)} == moved
    assert after == effective(
        a.config(**{**stated, **{key: one.value if one is not None else None for key, one in settings.items()}}),
        A100,
        model=a.model(),
    )


def test_what_is_hidden_stays_hidden_after_a_change() -> None:
    old = {"VLLM_USE_V1": None}
    before = effective(a.config(version="0.9.2"), H100, frozenset({"dtype"}), model=a.model(), environment=old)
    after = changed(before, {"enforce_eager": GIVEN}, H100, a.model())
    assert (before.value("max_batch_size"), after.value("max_batch_size")) == (None, None)  # V0 or V1, nobody knows
    assert after.value("dtype") is None
    assert changed(before, {"dtype": Setting("half", Origin.ARGUMENT)}, H100).value("dtype") == "half"
    assert "secret" not in repr(effective(a.config(), H100, environment={"HF_TOKEN": "secret"}))


def test_no_defaults_are_filled_in_where_there_were_none() -> None:
    stated = a.config(max_batch_size=8, dtype="half")
    assert changed(stated, {"max_batch_size": None, "enforce_eager": GIVEN}, H100) == a.config(
        dtype="half", enforce_eager=True
    )
