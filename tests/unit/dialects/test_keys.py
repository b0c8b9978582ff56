"""Keys, flags, and values as people write them."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.keys import flag_name, key_for, neutral_key, read_plain, spelling_of, spellings
from inferplan.domain.serving import SettingValue


@pytest.mark.parametrize("name", ["maxBatchSize", "max_batch_size", "--max-num-seqs", "max_num_seqs", "maxNumSeqs"])
def test_every_spelling_gives_the_neutral_key(name: str) -> None:
    assert neutral_key(Engine.VLLM, name) == "max_batch_size"


def test_an_engines_own_flag_is_an_alias() -> None:
    assert neutral_key(Engine.SGLANG, "--max-running-requests") == "max_batch_size"
    assert neutral_key(Engine.TGI, "maxConcurrentRequests") == "max_batch_size"
    assert neutral_key(Engine.VLLM, "tp") == "tensor_parallel_size"


def test_a_negation_names_the_setting_only_where_no_value_is_meant() -> None:
    assert neutral_key(Engine.SGLANG, "--disable-radix-cache", negations=True) == "enable_prefix_caching"
    with pytest.raises(ValueError, match="unknown config key"):
        neutral_key(Engine.SGLANG, "--disable-radix-cache")


def test_an_unknown_key_names_the_nearest() -> None:
    message = 'unknown config key "maxBatchSiz" for vllm: did you mean "max_batch_size"'
    with pytest.raises(ValueError, match=message):
        neutral_key(Engine.VLLM, "maxBatchSiz")
    with pytest.raises(ValueError, match="unknown config key"):
        neutral_key(Engine.VLLM, "")


def test_a_flag_without_a_key_of_its_own_is_called_by_its_own_name() -> None:
    assert neutral_key(Engine.VLLM, "--swap-space") == "swap_space"
    assert neutral_key(Engine.VLLM, "swapSpace") == "swap_space"
    assert neutral_key(Engine.VLLM, "--no-enable-log-requests", negations=True) == "enable_log_requests"


def test_every_engine_has_each_key_once_but_for_flags_that_say_the_same() -> None:
    for engine in Engine:
        keys = [(entry.key, entry.off) for entry in spellings(engine) if entry.dest != "max_concurrent_requests"]
        assert len(keys) == len(set(keys))
        assert "max_batch_size" in {entry.key for entry in spellings(engine)}


def test_a_name_goes_to_its_key_and_back() -> None:
    for engine in Engine:
        for entry in spellings(engine):
            assert key_for(engine, entry.dest) in {other.key for other in spellings(engine) if other.dest == entry.dest}
            found = spelling_of(engine, entry.key)
            assert found is not None
            assert found.key == entry.key


def read(key: str, value: SettingValue) -> SettingValue:
    return read_plain(key, value)


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("max_batch_size", 32, 32),
        ("max_batch_size", 32.0, 32),
        ("max_batch_size", "32", 32),
        ("max_model_len", "32K", 32_768),
        ("max_model_len", -1, "auto"),
        ("gpu_memory_utilization", 1, 1.0),
        ("gpu_memory_utilization", "0.9", 0.9),
        ("enable_prefix_caching", True, True),
        ("enable_prefix_caching", "false", False),
        ("quantization", "none", "none"),
    ],
)
def test_yaml_and_json_values_are_read_alike(key: str, value: SettingValue, plain: SettingValue) -> None:
    assert read(key, value) == plain
    assert type(read(key, value)) is type(plain)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_batch_size", True),
        ("max_batch_size", 32.5),
        ("max_batch_size", 0),
        ("max_batch_size", 10**20),
        ("max_batch_size", 1e300),
        ("max_batch_size", float("inf")),
        ("gpu_memory_utilization", 90),
        ("gpu_memory_utilization", True),
        ("gpu_memory_utilization", float("nan")),
        ("enable_prefix_caching", "maybe"),
        ("enable_prefix_caching", 2),
        ("quantization", False),
        ("quantization", 8),
    ],
)
def test_a_value_of_another_kind_or_range_is_refused(key: str, value: SettingValue) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each kind of value words its own refusal
        read(key, value)


def test_a_value_of_a_flag_without_a_key_is_taken_as_it_is() -> None:
    assert read_plain("swap_space", 4) == 4
    assert read_plain("swap_space", "four") == "four"
    assert read_plain("enable_log_requests", True) is True
    for beyond in (10**400, float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="is no number"):
            read_plain("swap_space", beyond)


def test_no_engine_flag_for_a_key_gives_none() -> None:
    assert flag_name(Engine.TGI, "block_size") is None
    assert flag_name(Engine.VLLM, "frobnicate") is None
    assert flag_name(Engine.VLLM, "swap_space") == "--swap-space"
