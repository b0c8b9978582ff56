"""Values of settings as JSON, and out of the text of a change."""

import re
from typing import Any

import pytest

from inferplan.dialects.container import Container
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.setting_values import json_value, read_change
from inferplan.domain.serving import SettingValue


def _reading(*args: str, image: str = "vllm/vllm-openai:v0.33.0") -> Reading:
    command = ("sglang", "serve") if "sglang" in image else ()
    reading = read_engine(Container("c", image, command=command, args=args))
    assert isinstance(reading, Reading)
    return reading


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("kv_transfer_config", '{"a":1}', {"a": 1}),
        ("kv_transfer_config", '{"a":NaN}', '{"a":NaN}'),
        ("served_model_name", '["a","b"]', ["a", "b"]),
        ("model_loader_extra_config", '{"a":1}', {"a": 1}),
        ("chat_template", '{"a":1}', '{"a":1}'),
        ("dtype", "5", "5"),
        ("swap_space", 16.0, 16),
        ("gpu_memory_utilization", 0.5, 0.5),
        ("cpu_offload_gb", 1e300, 1e300),
        ("quantization", "none", "none"),
        ("enforce_eager", True, True),
        ("nonsense", "[1]", "[1]"),
    ],
)
def test_the_flag_s_type_decides_what_a_text_is(key: str, value: SettingValue, shown: Any) -> None:
    found = json_value(_reading(), key, value)
    assert (found, type(found)) == (shown, type(shown))


@pytest.mark.parametrize(
    ("name", "text", "change"),
    [
        ("max_batch_size", "64", ("max_batch_size", 64)),
        ("--max-num-seqs", "64", ("max_batch_size", 64)),
        ("maxModelLen", "32k", ("max_model_len", 32_000)),
        ("gpuMemoryUtilization", "0.9", ("gpu_memory_utilization", 0.9)),
        ("enable-prefix-caching", "FALSE", ("enable_prefix_caching", False)),
        ("seed", "7", ("seed", 7)),
        ("cpu_offload_gb", "1.5", ("cpu_offload_gb", 1.5)),
        ("enable_log_requests", "true", ("enable_log_requests", True)),
        ("kv_transfer_config", '{"a": 1}', ("kv_transfer_config", '{"a":1}')),
        ("model", "org/other", ("model", "org/other")),
        ("max_num_batched_tokens", "8K", ("max_num_batched_tokens", 8192)),
    ],
)
def test_a_change_is_read_by_its_flag(name: str, text: str, change: tuple[str, SettingValue]) -> None:
    key, value = read_change(_reading(), name, text)
    assert (key, value, type(value)) == (*change, type(change[1]))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("max_batch_sice", "1", 'did you mean "max_batch_size"'),
        ("max_batch_size", "0", '"0" is not allowed; allowed: a whole number from 1'),
        ("cpu_offload_gb", "much", '"much" is not allowed; allowed: a number'),
        ("kv_transfer_config", "[1]", "must be a JSON object"),
        ("revision", "None", '"None" means that it is not given; use --unset'),
        ("enable_log_requests", "perhaps", '"perhaps" is neither true nor false'),
    ],
)
def test_what_is_no_change_says_what_is_allowed(name: str, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_change(_reading(), name, text)


def test_a_switch_of_an_engine_that_says_the_opposite_is_read_by_its_key() -> None:
    sglang = _reading("--model-path", "M", image="lmsysorg/sglang:v0.5.23")
    assert read_change(sglang, "enable_prefix_caching", "false") == ("enable_prefix_caching", False)
    with pytest.raises(ValueError, match="did you mean"):
        read_change(sglang, "disable_radix_cache", "true")
