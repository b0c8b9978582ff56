"""What an argument list says: the spellings that vLLM's parser takes (engine-facts section 1a)."""

import pytest
from tests.support.build import a

from inferplan.dialects.container import Container
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.words import Unreadable, UnreadableCode


def read(*args: str, version: str = "0.33.0") -> Reading:
    return reading_of(a.container(*args), version)


def reading_of(container: Container, version: str | None = None) -> Reading:
    reading = read_engine(container, version)
    assert isinstance(reading, Reading), reading
    return reading


@pytest.mark.parametrize(
    ("args", "key", "value"),
    [
        (("M", "--max-num-seqs", "64"), "max_batch_size", 64),
        (("M", "--max-num-seqs=64"), "max_batch_size", 64),
        (("M", "--max_num_seqs", "64"), "max_batch_size", 64),
        (("M", "--max-num-seq", "64"), "max_batch_size", 64),  # an unambiguous prefix
        (("M", "--max-num-seqs", "64", "--max-num-seqs=32"), "max_batch_size", 32),  # the last one wins
        (("M", "-tp", "4"), "tensor_parallel_size", 4),
        (("M", "-tp=4"), "tensor_parallel_size", 4),
        (("M", "-q", "fp8"), "quantization", "fp8"),
        (("M", "--max-model-len", "32k"), "max_model_len", 32_000),
        (("M", "--max-model-len", "32K"), "max_model_len", 32_768),
        (("M", "--max-model-len", "25.6k"), "max_model_len", 25_600),
        (("M", "--max-model-len", "-1"), "max_model_len", "auto"),
        (("M", "--max-model-len=auto"), "max_model_len", "auto"),
        (("M", "--gpu-memory-util", "0.85"), "gpu_memory_utilization", 0.85),
        (("M", "--no-enable-prefix-caching"), "enable_prefix_caching", False),
        (("M", "--disable-prefix-caching"), "enable_prefix_caching", False),
        (("M", "--enable-prefix-caching"), "enable_prefix_caching", True),
        (("--enable-prefix-caching", "M"), "enable_prefix_caching", True),
        (("M", "--speculative-config", '{"method": "ngram"}'), "speculative_config", '{"method":"ngram"}'),
        (("M", "--kv-cache-dtype=fp8"), "kv_cache_dtype", "fp8"),
    ],
)
def test_a_spelling_that_the_parser_takes_gives_its_value(
    args: tuple[str, ...], key: str, value: float | str | bool
) -> None:
    reading = read(*args)
    assert reading.config.value(key) == value
    assert type(reading.config.value(key)) is type(value)
    assert not reading.unreadable


@pytest.mark.parametrize("args", [("M", "--enable-chunked-prefill", "False"), ("M", "--enable-chunked-prefill=false")])
def test_a_switch_with_a_value_is_read_by_releases_up_to_0_7(args: tuple[str, ...]) -> None:
    assert read(*args, version="0.7.3").config.value("enable_chunked_prefill") is False
    assert read(*args, version="0.33.0").config.value("enable_chunked_prefill") is not False


@pytest.mark.parametrize(
    ("args", "model"),
    [
        (("M",), "M"),
        (("M", "--max-num-seqs", "64"), "M"),
        (("--max-num-seqs", "64", "M"), "M"),
        (("--enforce-eager", "M"), "M"),
        (("--model", "M"), "M"),
        (("--some-new-flag", "M"), None),  # the unknown flag may take the word
        (("--some-new-flag=1", "M"), "M"),
        (("$(MODEL)",), None),
        ((), None),
    ],
)
def test_the_model_is_found_before_and_behind_flags(args: tuple[str, ...], model: str | None) -> None:
    assert read(*args).config.model == model


def test_the_api_servers_module_takes_the_model_by_flag() -> None:
    command = ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "X", "-tp", "2")
    reading = reading_of(Container("c", command=command))
    assert (reading.config.model, reading.config.value("tensor_parallel_size")) == ("X", 2)
    assert reading_of(Container("c", command=(*command[:3], "X"))).config.model is None


def test_a_container_with_args_only_may_name_the_model_first() -> None:
    image = "vllm/vllm-openai:v0.33.0"
    assert reading_of(Container("c", image, args=("X", "--max-num-seqs=8"))).config.model == "X"
    assert reading_of(Container("c", image, args=("--model=X",))).config.model == "X"


@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", "vllm serve X --max-num-seqs 8"),
        ("env", "bash", "-c", "exec vllm serve X --max-num-seqs 8"),
        ("/bin/bash", "-lc", "set -e\npython3 -m vllm.entrypoints.openai.api_server --model X --max-num-seqs=8"),
    ],
)
def test_a_script_is_read(command: tuple[str, ...]) -> None:
    reading = reading_of(Container("c", command=command))
    assert (reading.config.model, reading.config.value("max_batch_size")) == ("X", 8)
    assert reading.complete


@pytest.mark.parametrize("command", [("/start.sh",), ("bash", "/start.sh"), ("tini", "/start.sh")])
def test_a_program_that_is_not_known_is_not_read(command: tuple[str, ...]) -> None:
    found = read_engine(Container("c", "vllm/vllm-openai:v0.33.0", command, ("--max-num-seqs", "8")))
    assert isinstance(found, Unreadable)
    assert found.code is UnreadableCode.UNKNOWN_START


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("M", "--max-num-seqs=$(SEQS)"), UnreadableCode.VARIABLE),
        (("M", "--max-num-seqs", "$(SEQS)"), UnreadableCode.VARIABLE),
        (("M", "--max-num-seqs", "1k"), UnreadableCode.VALUE),  # vLLM refuses it too: no human-readable number
        (("M", "--max-num-seqs", "True"), UnreadableCode.VALUE),
        (("M", "--max-num-seqs", "0"), UnreadableCode.VALUE),
        (("M", "--max-num-seqs"), UnreadableCode.VALUE),
        (("M", "--max-num-seqs", "32", "--max-num-seqs=many"), UnreadableCode.VALUE),
    ],
)
def test_an_unreadable_value_leaves_the_setting_unknown(args: tuple[str, ...], code: UnreadableCode) -> None:
    reading = read(*args)
    assert [(entry.code, entry.key) for entry in reading.unreadable] == [(code, "max_batch_size")]
    assert "max_batch_size" not in reading.config.settings
    assert (reading.complete, reading.unknown) == (True, frozenset({"max_batch_size"}))


def test_a_later_readable_value_mends_an_unreadable_one() -> None:
    reading = read("M", "--max-num-seqs=$(SEQS)", "--max-num-seqs=32")
    assert reading.config.value("max_batch_size") == 32
    assert not reading.unreadable


@pytest.mark.parametrize("value", ["nan", "inf", "1.5", "0", "-1"])
def test_a_share_outside_of_its_range_is_unreadable(value: str) -> None:
    assert read("M", f"--gpu-memory-utilization={value}").unknown == {"gpu_memory_utilization"}


@pytest.mark.parametrize("value", ["infk", "1e9", "9" * 400, "9" * 300 + "k", "2.5K", "-5", "K", "k"])
def test_a_length_that_is_no_number_is_unreadable(value: str) -> None:
    assert read("M", f"--max-model-len={value}").unknown == {"max_model_len"}


@pytest.mark.parametrize("none", ["None", ""])
def test_the_word_none_means_not_given_where_the_release_takes_it(none: str) -> None:
    reading = read("M", "--max-log-len=32", f"--max-log-len={none}")
    assert "max_log_len" not in reading.config.settings
    assert not reading.unreadable
    assert read("M", f"--max-num-seqs={none}").unknown == {"max_batch_size"}


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("M", "--config", "/etc/vllm.yaml"), UnreadableCode.CONFIG_FILE),
        (("M", "--max-num-seqs=8", "$(EXTRA)"), UnreadableCode.VARIABLE),
        (("M", "--$(FLAG)=8"), UnreadableCode.VARIABLE),
    ],
)
def test_flags_may_hide_in_a_file_or_a_variable(args: tuple[str, ...], code: UnreadableCode) -> None:
    reading = read(*args)
    assert [(entry.code, entry.key) for entry in reading.unreadable] == [(code, None)]
    assert not reading.complete


def test_a_config_file_behind_an_equals_sign_is_ignored_as_vllm_does() -> None:
    assert read("M", "--config=/etc/vllm.yaml").complete


@pytest.mark.parametrize("name", ["--device", "--max-num", "--m", "--unknown"])
def test_what_is_no_flag_or_short_for_several_is_told_and_sets_nothing(name: str) -> None:
    reading = read("M", name, "7")
    assert not reading.config.settings
    assert [entry.code for entry in reading.unreadable] == [UnreadableCode.FLAG]
    assert reading.complete


def test_sglang_and_tgi_have_their_own_flags() -> None:
    start = ("python3", "-m", "sglang.launch_server", "--model-path", "X", "--tp", "2")
    words = (*start, "--chunked-prefill-size", "-1", "--disable-radix-cache", "--max-running-requests=9")
    reading = reading_of(Container("c", command=words))
    assert {key: setting.value for key, setting in reading.config.items()} == {
        "enable_chunked_prefill": False,
        "enable_prefix_caching": False,
        "max_batch_size": 9,
        "tensor_parallel_size": 2,
    }
    assert reading.config.model == "X"
    launcher = ("text-generation-launcher", "--model-id", "X", "--max-concurrent-requests", "128")
    tgi = reading_of(Container("c", command=launcher))
    assert (tgi.config.model, tgi.config.value("max_batch_size")) == ("X", 128)


@pytest.mark.parametrize("version", ["0.4.6.post5", "0.5.12", "0.5.23", None])
def test_sglangs_parallel_sizes_have_one_key_in_all_releases(version: str | None) -> None:
    words = ("python3", "-m", "sglang.launch_server", "--model-path", "X", "--tp", "2", "--dp-size", "4")
    settings = reading_of(Container("c", command=words), version).config
    assert (settings.value("tensor_parallel_size"), settings.value("data_parallel_size")) == (2, 4)
