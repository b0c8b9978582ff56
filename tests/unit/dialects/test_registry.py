"""The flag registry: what is known of releases, as literals."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.registry import (
    FlagKind,
    FlagSpec,
    ValueType,
    every_flag,
    release,
    releases,
)

VLLM, SGLANG, TGI = Engine.VLLM, Engine.SGLANG, Engine.TGI


def flag(version: str, dest: str, engine: Engine = VLLM) -> FlagSpec:
    found = release(engine, version).named(dest)
    assert found is not None
    return found


def found(version: str, name: str, engine: Engine = VLLM) -> tuple[str, bool] | None:
    hit = release(engine, version).find(name)
    return None if hit is None else (hit[0].dest, hit[1])


def having(engine: Engine, name: str) -> tuple[str, ...]:
    return tuple(version for version in releases(engine) if release(engine, version).find(name))


def test_the_known_releases_come_oldest_first() -> None:
    assert len(releases(VLLM)) == 32
    assert releases(VLLM)[:6] == ("0.6.6", "0.7.3", "0.8.5", "0.9.2", "0.10.0", "0.10.1.1")
    assert releases(VLLM)[-1] == "0.33.0"
    assert releases(SGLANG)[0] == "0.4.6.post5"
    assert releases(SGLANG)[-1] == "0.5.23"
    assert releases(TGI) == ("3",)


def test_a_release_that_is_not_known_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        release(VLLM, "0.11.3")


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("--kv-cache-memory-bytes", "0.10.2", "0.33.0"),
        ("--swap-space", "0.6.6", "0.17.1"),
        ("--calculate-kv-scales", "0.7.3", "0.27.1"),
        ("--max-num-partial-prefills", "0.7.3", "0.26.0"),
        ("--num-scheduler-steps", "0.6.6", "0.10.0"),
        ("--scheduler-delay-factor", "0.6.6", "0.10.2"),
        ("--num-lookahead-slots", "0.6.6", "0.11.2"),
        ("--use-v2-block-manager", "0.6.6", "0.9.2"),
        ("--cuda-graph-sizes", "0.9.2", "0.12.0"),
        ("--cudagraph-capture-sizes", "0.11.1", "0.33.0"),
        ("--attention-backend", "0.13.0", "0.33.0"),
        ("--performance-mode", "0.17.1", "0.33.0"),
        ("--device-memory-utilization", "0.31.0", "0.33.0"),
        ("--task", "0.6.6", "0.12.0"),
        ("--speculative-config", "0.8.5", "0.33.0"),
        ("--speculative-model", "0.6.6", "0.7.3"),
        ("--enable-log-requests", "0.10.1.1", "0.33.0"),
        ("-dcp", "0.10.2", "0.33.0"),
        ("-sc", "0.19.1", "0.33.0"),
        ("-ep", "0.14.1", "0.33.0"),
        ("-O", "0.6.6", "0.11.2"),
        ("-cc", "0.12.0", "0.33.0"),
        ("--disable-prefix-caching", "0.33.0", "0.33.0"),
        ("--no-enable-chunked-prefill", "0.8.5", "0.33.0"),
    ],
)
def test_a_spelling_exists_from_one_release_to_another_without_a_gap(name: str, first: str, last: str) -> None:
    known = having(VLLM, name)
    assert (known[0], known[-1]) == (first, last)
    everything = releases(VLLM)
    assert known == everything[everything.index(first) : everything.index(last) + 1]


def test_the_old_flag_for_request_logs_comes_back_as_the_opposite_of_the_new_one() -> None:
    assert found("0.16.0", "--disable-log-requests") == ("disable_log_requests", False)
    assert found("0.17.1", "--disable-log-requests") is None
    assert found("0.32.0", "--disable-log-requests") is None
    assert found("0.33.0", "--disable-log-requests") == ("enable_log_requests", True)


def test_the_memory_share_rises_at_0_20_2() -> None:
    shares = {version: flag(version, "gpu_memory_utilization").default for version in releases(VLLM)}
    assert (shares["0.6.6"], shares["0.19.1"]) == ("0.9", "0.9")
    assert (shares["0.20.2"], shares["0.33.0"]) == ("0.92", "0.92")
    assert set(shares.values()) == {"0.9", "0.92"}


@pytest.mark.parametrize(
    ("version", "added"),
    [
        ("0.10.0", {"fp8_inc"}),
        ("0.11.0", {"bfloat16"}),
        ("0.11.1", {"fp8_ds_mla"}),
        ("0.18.1", {"float16"}),
        ("0.25.1", {"int4_per_token_head"}),
        ("0.28.0", {"nvfp4_4over6"}),
        ("0.32.0", {"ultraquant_4bit"}),
    ],
)
def test_formats_of_the_kv_cache_are_added_over_time(version: str, added: set[str]) -> None:
    before = releases(VLLM)[releases(VLLM).index(version) - 1]
    old, new = flag(before, "kv_cache_dtype"), flag(version, "kv_cache_dtype")
    assert set(new.choices) - set(old.choices) == added
    assert set(old.choices) <= set(new.choices)


def test_in_0_33_the_config_checks_the_format_of_the_kv_cache_and_not_the_parser() -> None:
    newest = flag("0.33.0", "kv_cache_dtype")
    assert newest.choices == ()
    assert {"octave_k3v3", "nvfp4"} <= set(newest.late_choices)
    assert flag("0.6.6", "kv_cache_dtype").choices == ("auto", "fp8", "fp8_e5m2", "fp8_e4m3")


@pytest.mark.parametrize(
    ("version", "kind", "negations"),
    [
        ("0.7.3", FlagKind.BOOLEAN, ()),
        ("0.8.5", FlagKind.SWITCH, ("--no-enable-chunked-prefill",)),
        ("0.32.0", FlagKind.SWITCH, ("--no-enable-chunked-prefill",)),
        ("0.33.0", FlagKind.SWITCH, ("--no-enable-chunked-prefill", "--disable-chunked-prefill")),
    ],
)
def test_what_switches_chunked_prefill_off_depends_on_the_release(
    version: str, kind: FlagKind, negations: tuple[str, ...]
) -> None:
    chunked = flag(version, "enable_chunked_prefill")
    assert (chunked.kind, chunked.names, chunked.negations) == (kind, ("--enable-chunked-prefill",), negations)


def test_in_0_33_a_flag_that_disables_has_an_opposite_that_enables() -> None:
    hybrid = flag("0.33.0", "disable_hybrid_kv_cache_manager")
    assert hybrid.names == ("--disable-hybrid-kv-cache-manager",)
    assert hybrid.negations == ("--no-disable-hybrid-kv-cache-manager", "--enable-hybrid-kv-cache-manager")
    assert found("0.33.0", "--no-async-scheduling") == ("async_scheduling", True)
    assert found("0.33.0", "--no-disable-log-stats") is None  # store_true in every release


def test_a_short_name_of_a_switch_switches_on() -> None:
    experts = flag("0.33.0", "enable_expert_parallel")
    assert experts.names == ("--enable-expert-parallel", "-ep")
    assert "-ep" not in experts.negations


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("0.8.5", ""),
        ("0.9.2", "compilation_config.level"),
        ("0.11.0", "compilation_config.level"),
        ("0.11.1", "compilation_config.mode"),
        ("0.11.2", "compilation_config.mode"),
        ("0.12.0", "optimization_level"),
        ("0.33.0", "optimization_level"),
    ],
)
def test_the_optimization_letter_changes_its_meaning(version: str, level: str) -> None:
    assert release(VLLM, version).rules.level == level


def test_a_bare_compilation_level_is_taken_up_to_0_8_5() -> None:
    kinds = {version: flag(version, "compilation_config").type for version in releases(VLLM)}
    level = {version for version, kind in kinds.items() if kind is ValueType.OBJECT_OR_LEVEL}
    assert level == {"0.6.6", "0.7.3", "0.8.5"}
    assert set(kinds.values()) == {ValueType.OBJECT_OR_LEVEL, ValueType.OBJECT}


def test_dotted_keys_and_suffixes_within_json_came_one_after_the_other() -> None:
    rules = {version: release(VLLM, version).rules for version in releases(VLLM)}
    assert [version for version, rule in rules.items() if not rule.dotted_keys] == ["0.6.6", "0.7.3", "0.8.5"]
    assert not rules["0.19.1"].number_suffixes
    assert rules["0.20.2"].number_suffixes
    assert all(rule.underscores and rule.abbreviations and rule.repeats for rule in rules.values())


@pytest.mark.parametrize(
    ("version", "dest", "kind", "optional"),
    [
        ("0.7.3", "max_model_len", ValueType.INTEGER, False),
        ("0.8.5", "max_model_len", ValueType.HUMAN_INTEGER, False),
        ("0.14.1", "max_model_len", ValueType.HUMAN_INTEGER_OR_AUTO, False),
        ("0.33.0", "max_num_seqs", ValueType.INTEGER, False),
        ("0.8.5", "max_num_batched_tokens", ValueType.INTEGER, False),
        ("0.33.0", "max_num_batched_tokens", ValueType.HUMAN_INTEGER, False),
        ("0.33.0", "num_gpu_blocks_override", ValueType.INTEGER, True),
        ("0.33.0", "kv_cache_memory_bytes", ValueType.HUMAN_INTEGER, True),
        ("0.33.0", "kv_offloading_size", ValueType.NUMBER, True),
        ("0.33.0", "numa_bind_nodes", ValueType.INTEGER, True),
        ("0.33.0", "speculative_config", ValueType.JSON, True),
        ("0.33.0", "kv_transfer_config", ValueType.OBJECT, True),
        ("0.33.0", "hf_overrides", ValueType.OBJECT_OR_TEXT, False),
        ("0.33.0", "generation_config", ValueType.TEXT, False),
        ("0.33.0", "moe_backend", ValueType.LOWER_SNAKE, False),
        ("0.33.0", "device_ids", ValueType.LIST, False),
        ("0.11.0", "guided_decoding_disable_fallback", ValueType.TRUTHY, False),
        ("0.7.3", "limit_mm_per_prompt", ValueType.PAIRS, False),
        ("0.8.5", "limit_mm_per_prompt", ValueType.JSON, True),
    ],
)
def test_how_a_value_is_read(version: str, dest: str, kind: ValueType, optional: bool) -> None:
    assert (flag(version, dest).type, flag(version, dest).optional) == (kind, optional)


def test_none_cannot_be_given_where_the_parsers_choices_only_have_its_name() -> None:
    # vLLM up to 0.30 listed the text "None", but compared what it had read, which is None; 0.31 lists None itself
    assert not flag("0.12.0", "task").optional
    assert "None" not in flag("0.12.0", "task").choices
    assert not flag("0.30.0", "mm_encoder_attn_dtype").optional
    assert flag("0.31.0", "mm_encoder_attn_dtype").optional
    assert flag("0.8.5", "quantization").optional


def test_rocms_own_flags_are_not_upstreams() -> None:
    assert release(VLLM, "0.6.6").named("calculate_kv_scales") is None
    assert release(VLLM, "0.7.3").named("enable_ssl_refresh") is None
    assert found("0.6.6", "--quantization-param-path") == ("quantization_param_path", False)
    assert "xgrammar" in flag("0.7.3", "guided_decoding_backend").choices


def test_defaults_are_text_or_not_known() -> None:
    assert flag("0.33.0", "optimization_level").default == "2"
    assert flag("0.33.0", "kv_cache_dtype").default == "auto"
    assert flag("0.33.0", "disable_log_stats").default == "False"
    assert flag("0.33.0", "allowed_origins").default == "[]"
    assert flag("0.33.0", "cpu_offload_params").default == "[]"
    assert flag("0.17.1", "swap_space").default == "4"
    assert flag("0.33.0", "max_num_seqs").default is None
    assert flag("0.33.0", "compilation_config").default is None
    assert flag("0.29.0", "prefix_cache_retention_interval").default is None


def test_the_sub_command_has_a_positional_model_and_a_file_in_every_release() -> None:
    for version in releases(VLLM):
        model, config = flag(version, "model_tag"), flag(version, "config")
        assert (model.names, model.nargs) == ((), "?")
        assert config.names == ("--config",)
        assert model.serve_only is config.serve_only is (version in {"0.6.6", "0.7.3", "0.8.5", "0.9.2"})


def test_the_attention_backend_was_a_variable_before_it_was_a_flag() -> None:
    variables = {version: flag(version, "attention_backend").environment for version in releases(VLLM)}
    assert variables["0.6.6"] == variables["0.12.0"] == variables["0.14.1"] == "VLLM_ATTENTION_BACKEND"
    assert variables["0.15.1"] == variables["0.33.0"] == ""
    assert flag("0.12.0", "attention_backend").kind is FlagKind.ENVIRONMENT
    assert flag("0.13.0", "attention_backend").names == ("--attention-backend",)


def prefixed(version: str, prefix: str, engine: Engine = VLLM) -> list[tuple[str, bool]]:
    return sorted((hit.dest, off) for hit, off in release(engine, version).starting_with(prefix))


def test_a_prefix_means_what_begins_with_it() -> None:
    assert prefixed("0.33.0", "--max-num-seq") == [("max_num_seqs", False)]
    assert prefixed("0.33.0", "--gpu-memory-util") == [("gpu_memory_utilization", False)]
    assert len(prefixed("0.33.0", "--max-num")) > 1
    assert prefixed("0.33.0", "--nothing-like-it") == []


def test_hidden_spellings_count_among_those_that_a_prefix_means() -> None:
    assert prefixed("0.32.0", "--disable-prefix-c") == []
    assert prefixed("0.33.0", "--disable-prefix-c") == [("enable_prefix_caching", True)]
    assert prefixed("0.33.0", "--no-enable-prefix-c") == [("enable_prefix_caching", True)]


def test_two_spellings_of_one_flag_make_a_prefix_ambiguous_as_in_argparse() -> None:
    assert prefixed("0.5.23", "--enable-hi", SGLANG).count(("enable_hierarchical_cache", False)) == 2


def test_the_old_graph_limit_of_sglang_is_a_prefix_of_two_flags_now() -> None:
    assert found("0.5.18", "--cuda-graph-max-bs", SGLANG) == ("cuda_graph_max_bs_decode", False)
    assert found("0.5.23", "--cuda-graph-max-bs", SGLANG) is None
    assert prefixed("0.5.23", "--cuda-graph-max-bs", SGLANG) == [
        ("cuda_graph_max_bs_decode", False),
        ("cuda_graph_max_bs_prefill", False),
    ]
    assert prefixed("0.5.23", "--tp", SGLANG) == [("tp_size", False)]


def test_a_deprecated_name_does_not_speak_for_its_flag() -> None:
    limit = flag("0.5.18", "cuda_graph_max_bs_decode", SGLANG)
    assert (limit.names, limit.deprecated) == (("--cuda-graph-max-bs-decode",), False)
    old = release(SGLANG, "0.5.18").find("--cuda-graph-max-bs")
    assert old is not None
    assert old[0].deprecated


def test_sglang_reads_sizes_in_its_own_way() -> None:
    rules = release(SGLANG, "0.5.23").rules
    assert (rules.underscores, rules.abbreviations, rules.dotted_keys) == (False, True, False)
    assert flag("0.5.23", "context_length", SGLANG).type is ValueType.SI_INTEGER
    assert flag("0.5.8", "context_length", SGLANG).type is ValueType.INTEGER
    assert found("0.5.23", "--enable-prefix-caching", SGLANG) is None
    assert flag("0.5.23", "disable_radix_cache", SGLANG).kind is FlagKind.TRUE


def test_tgi_takes_flags_and_variables_in_full_only() -> None:
    tgi = release(TGI, "3")
    batch = flag("3", "max_batch_prefill_tokens", TGI)
    assert (batch.names, batch.environment) == (("--max-batch-prefill-tokens",), "MAX_BATCH_PREFILL_TOKENS")
    assert flag("3", "max_concurrent_requests", TGI).default == "128"
    assert flag("3", "cuda_graphs", TGI).type is ValueType.INTEGERS
    assert flag("3", "sharded", TGI).type is ValueType.BOOLEAN
    assert flag("3", "kv_cache_dtype", TGI).choices == ("fp8_e4m3fn", "fp8_e5m2")
    assert "bitsandbytes-nf4" in flag("3", "quantize", TGI).choices
    assert (tgi.rules.abbreviations, tgi.rules.repeats, tgi.rules.underscores) == (False, False, False)
    assert tgi.starting_with("--max-batch-p") == ()
    assert found("3", "-p", TGI) == ("port", False)  # --prometheus-port asks for -p too and comes later


def test_every_flag_is_described_by_the_newest_release_that_has_it() -> None:
    by_dest = {entry.dest: entry for entry in every_flag(VLLM)}
    assert by_dest["swap_space"] == flag("0.17.1", "swap_space")
    assert by_dest["max_model_len"].type is ValueType.HUMAN_INTEGER_OR_AUTO
    assert len(by_dest) == len(every_flag(VLLM))
