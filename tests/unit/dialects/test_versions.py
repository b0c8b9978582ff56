"""Versions and their defaults (engine-facts section 1c)."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import H100, a

from inferplan.api.values import Engine
from inferplan.dialects.versions import defaults, effective, parse_version
from inferplan.domain.hardware import UNKNOWN_ACCELERATOR, Accelerator

A100 = Accelerator("NVIDIA-A100-SXM4-80GB", 1, 81_920, 80)
B200 = Accelerator("NVIDIA-B200", 1, 183_359, 100)
L4 = Accelerator("NVIDIA-L4", 1, 23_034, 89)
GB10 = Accelerator("NVIDIA-GB10", 1, 122_880, 121)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.33.0", (0, 33, 0)),
        ("v0.33", (0, 33, 0)),
        ("0.10.1.1", (0, 10, 1)),
        ("0.33.0rc1+cu130", (0, 33, 0)),
        ("latest", None),
        ("", None),
        (None, None),
        ("9" * 5000 + ".1", None),
    ],
)
def test_a_version_is_major_minor_patch(text: str | None, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "gpu", "tokens", "sequences"),
    [
        ("0.33.0", H100, 8192, 1024),
        ("0.33.0", A100, 2048, 256),
        ("0.33.0", L4, 2048, 256),
        ("0.33.0", B200, 16_384, 1024),
        ("0.28.0", B200, 8192, 1024),
        ("0.33.0", GB10, None, None),
        ("0.33.0", UNKNOWN_ACCELERATOR, None, None),
        ("0.33.0", replace(H100, product=None), None, None),
    ],
)
def test_batch_defaults_follow_the_gpus_memory(
    version: str, gpu: Accelerator, tokens: int | None, sequences: int | None
) -> None:
    config = effective(a.config(version=version), gpu)
    assert (config.integer("max_num_batched_tokens"), config.integer("max_batch_size")) == (tokens, sequences)


@pytest.mark.parametrize(("version", "share"), [("0.19.1", 0.9), ("0.20.2", 0.92), ("0.20.0", None), ("0.33.0", 0.92)])
def test_utilization_changed_between_two_releases(version: str, share: float | None) -> None:
    setting = defaults(Engine.VLLM, version, H100).get("gpu_memory_utilization")
    assert (setting.value if setting is not None else None) == share


@pytest.mark.parametrize(
    ("engine", "version"), [(Engine.VLLM, None), (Engine.VLLM, "0.9.1"), (Engine.SGLANG, "0.5.23")]
)
def test_defaults_that_were_not_read_are_not_known(engine: Engine, version: str | None) -> None:
    assert not defaults(engine, version, H100)


@pytest.mark.parametrize(
    ("settings", "sequences", "tokens"),
    [
        ({"max_num_batched_tokens": 512}, 512, 512),  # the default of 1024 sequences gives way
        ({"max_batch_size": 4, "max_model_len": 1024}, 4, 4096),  # 4 x 1024 < 8192
        ({"max_batch_size": 64}, 64, 8192),
        ({"max_batch_size": 64, "max_model_len": "auto"}, 64, 8192),
        ({"max_batch_size": 64, "max_num_batched_tokens": 4096, "max_model_len": 8}, 64, 4096),
        ({"enable_chunked_prefill": False}, 1024, None),  # then max_model_len at least, and that may be the model's
        ({"performance_mode": "throughput"}, None, None),
        ({"performance_mode": "balanced"}, 1024, 8192),
    ],
)
def test_batch_defaults_give_way_to_what_is_set(
    settings: dict[str, Any], sequences: int | None, tokens: int | None
) -> None:
    config = effective(a.config(**settings), H100)
    assert (config.integer("max_batch_size"), config.integer("max_num_batched_tokens")) == (sequences, tokens)


@pytest.mark.parametrize("key", ["max_batch_size", "max_num_batched_tokens", "performance_mode"])
def test_a_batch_setting_that_could_not_be_read_leaves_both_limits_unknown(key: str) -> None:
    config = effective(a.config(), H100, frozenset({key}))
    assert config.integer("max_batch_size") is None
    assert config.integer("max_num_batched_tokens") is None
    assert config.fraction("gpu_memory_utilization") == 0.92
