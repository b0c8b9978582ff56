"""The simulator's command line: what each release takes and refuses."""

import argparse
import json
from pathlib import Path

import pytest

from inferplan_lab.engine.__main__ import expand_config
from inferplan_lab.engine.flag_values import human_int
from inferplan_lab.engine.flags import FlagError, StartupError, bundled_release, parse, release_of
from inferplan_lab.engine.rewriting import rewrite

NEW, OLD = "0.33.0", "0.8.5"


def serve(version: str, *words: str) -> argparse.Namespace:
    return parse(version, ["m", *words], api_server=False)


@pytest.mark.parametrize(
    ("version", "words", "dest", "value"),
    [
        (NEW, ("--max-num-seqs", "8"), "max_num_seqs", 8),
        (NEW, ("--max_num_seqs=8",), "max_num_seqs", 8),
        (NEW, ("--max-num-seq", "8"), "max_num_seqs", 8),  # an unambiguous prefix
        (NEW, ("-tp", "2"), "tensor_parallel_size", 2),
        (NEW, ("--max-model-len", "32k"), "max_model_len", 32000),
        (NEW, ("--max-model-len", "32K"), "max_model_len", 32768),
        (NEW, ("--max-model-len", "25.6k"), "max_model_len", 25600),
        (NEW, ("--max-model-len", "auto"), "max_model_len", -1),
        (NEW, ("--max-num-batched-tokens", "8k"), "max_num_batched_tokens", 8000),
        (NEW, ("--num-gpu-blocks-override", "None"), "num_gpu_blocks_override", None),
        (NEW, ("--no-enable-prefix-caching",), "enable_prefix_caching", False),
        (NEW, ("--disable-prefix-caching",), "enable_prefix_caching", False),
        (NEW, ("--enable-prefix-caching",), "enable_prefix_caching", True),
        (NEW, ("--disable-hybrid-kv-cache-manager",), "disable_hybrid_kv_cache_manager", True),
        (NEW, ("--enable-hybrid-kv-cache-manager",), "disable_hybrid_kv_cache_manager", False),
        (NEW, ("-O3",), "optimization_level", "3"),
        ("0.11.2", ("-O3",), "compilation_config", '{"mode": 3}'),
        ("0.9.2", ("-O", "3"), "compilation_config", '{"level": 3}'),
        (OLD, ("-O3",), "compilation_config", "3"),
        (NEW, ("-cc.mode", "3"), "compilation_config", '{"mode": 3}'),
        (NEW, ("--moe-backend", "Flashinfer-Cutlass"), "moe_backend", "flashinfer_cutlass"),
        (NEW, ("--mm-encoder-attn-dtype", "None"), "mm_encoder_attn_dtype", None),
        (NEW, ("--hf-overrides", "my_function"), "hf_overrides", "my_function"),
        ("0.7.3", ("--enable-chunked-prefill=False",), "enable_chunked_prefill", False),
        ("0.7.3", ("--enable-chunked-prefill",), "enable_chunked_prefill", True),
        ("0.7.3", ("--limit-mm-per-prompt", "image=2"), "limit_mm_per_prompt", "image=2"),
        (NEW, ("--speculative-config", '{"method":"ngram"}'), "speculative_config", '{"method":"ngram"}'),
        (NEW, ("--served-model-name", "a", "b"), "served_model_name", ["a", "b"]),
        (NEW, ("--max-num-seqs", "8", "--max-num-seqs", "9"), "max_num_seqs", 9),  # the last one wins
        ("0.17.1", ("--swap-space", "4"), "swap_space", 4.0),
        (OLD, ("--max-model-len", "32k"), "max_model_len", 32000),
        (OLD, ("--no-enable-prefix-caching",), "enable_prefix_caching", False),
        ("0.20.2", (), "gpu_memory_utilization", 0.92),
        ("0.17.1", (), "gpu_memory_utilization", 0.9),
    ],
)
def test_a_release_takes_its_own_flags(version: str, words: tuple[str, ...], dest: str, value: object) -> None:
    assert getattr(serve(version, *words), dest) == value


@pytest.mark.parametrize(
    ("version", "words", "ending"),
    [
        ("0.20.2", ("--swap-space", "4"), "vllm: error: unrecognized arguments: --swap-space 4"),
        ("0.32.0", ("--disable-prefix-caching",), "unrecognized arguments: --disable-prefix-caching"),
        (OLD, ("--max-num-batched-tokens", "8k"), "invalid int value: '8k'"),
        (OLD, ("--max-model-len", "auto"), "invalid human_readable_int value: 'auto'"),
        (OLD, ("--kv-cache-memory-bytes", "1"), "unrecognized arguments: --kv-cache-memory-bytes 1"),
        (OLD, ("--kv-cache-dtype", "nvfp4"), "(choose from"),
        (NEW, ("--max-num-seqs", "1k"), "invalid int value: '1k'"),
        (NEW, ("--max-model-len", "1.5K"), "no decimals before a binary suffix such as K"),
        (NEW, ("--enable-chunked-prefill=False",), "ignored explicit argument 'False'"),
        (NEW, ("--enable-chunked-prefill", "False"), "unrecognized arguments: False"),
        (NEW, ("--max-num", "8"), "ambiguous option: --max-num"),
        (NEW, ("--compilation-config", "3"), "is not a JSON object"),
        ("0.9.2", ("--compilation-config", "3"), "is not a JSON object"),
        (OLD, ("--compilation-config", "[]"), "is neither a level nor an object"),
        (OLD, ("--speculative-config.method", "ngram"), "unrecognized arguments: --speculative-config.method ngram"),
        (NEW, ("--hf-overrides", "{x}"), "Value {x} cannot be converted to"),
        ("0.12.0", ("--task", "None"), "invalid choice: 'None'"),
        ("0.7.3", ("--enable-chunked-prefill=maybe",), "Expected 'true' or 'false'."),
        ("0.7.3", ("--limit-mm-per-prompt", "image"), "in the form KEY=VALUE"),
        (NEW, ("--dtype", "int3"), "invalid choice: 'int3'"),
    ],
)
def test_a_release_refuses_what_it_does_not_know(version: str, words: tuple[str, ...], ending: str) -> None:
    with pytest.raises(FlagError) as caught:
        serve(version, *words)
    assert ending in str(caught.value).splitlines()[-1]


def test_the_model_flag_is_for_the_api_server_until_0_11_1() -> None:
    assert parse(OLD, ["--model", "m"], api_server=True).model == "m"
    assert parse(NEW, ["--model", "m"], api_server=False).model == "m"
    with pytest.raises(StartupError, match="positional"):
        parse("0.10.2", ["--model", "m"], api_server=False)


def test_dotted_keys_become_one_json_value() -> None:
    words = rewrite(["m", "--speculative-config.method", "ngram", "--speculative_config.num-tokens=4"], (0, 33))
    assert words[:2] == ["m", "--speculative-config"]
    assert json.loads(words[2]) == {"method": "ngram", "num_tokens": 4}


def test_a_dotted_list_key_appends() -> None:
    words = rewrite(["--cfg.a.b+", "1", "--cfg.a.b+=2,x"], (0, 33))
    assert json.loads(words[1]) == {"a": {"b": [1, 2, "x"]}}


def test_a_value_with_dots_is_no_dotted_key() -> None:
    assert rewrite(["--model=/models/a.b", "0.5"], (0, 33)) == ["--model=/models/a.b", "0.5"]


def test_a_config_file_stands_in_front_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("model: m\nmax-num-seqs: 4\nenforce-eager: true\nenable-prefix-caching: false\n")
    words = expand_config(["--max-num-seqs", "8", "--config", str(file)])
    flags = parse(NEW, words, api_server=False)
    assert (flags.model, flags.max_num_seqs, flags.enforce_eager) == ("m", 8, True)
    assert flags.enable_prefix_caching is None  # `serve` drops a false value


def test_a_config_file_that_is_missing_stops_the_server(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"none\.yaml"):
        expand_config(["m", "--config", str(tmp_path / "none.yaml")])


def test_a_version_in_between_uses_the_older_flags() -> None:
    assert bundled_release("0.19.0") == "0.18.1"
    assert bundled_release("0.40.0") == "0.33.0"
    assert release_of("v0.10.1.1+cu128") == (0, 10, 1, 1)
    with pytest.raises(StartupError, match="older than any"):
        bundled_release("0.6.5")
    with pytest.raises(StartupError, match="not a version"):
        release_of("latest")


def test_small_and_capital_suffixes_differ() -> None:
    assert [human_int(text) for text in ("1k", "1K", "2m", "2G")] == [1000, 1024, 2_000_000, 2 * 2**30]
