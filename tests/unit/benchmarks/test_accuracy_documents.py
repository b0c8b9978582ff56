"""Instances as they are written from measurements and start-up logs."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.accuracy.documents import Configs, accelerator, instance, of_row, slug
from benchmarks.accuracy.kv_cases import GIB, case_of
from benchmarks.accuracy.recipes import settings_of
from benchmarks.accuracy.serving import Row

from inferplan.api.kinds import INFERENCE_INSTANCE


def row(**fields: Any) -> Row:
    plain = Row(
        "Key_1", "org/model", "h200_sxm", 4, 4, 1, 1, "vllm", "0.18.0", "", "fp8", 1024, 512, 8, 1.0, 1.0, "", ""
    )
    return Row(**{**vars(plain), **fields})


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    (tmp_path / "org--model.json").write_text(json.dumps({"hidden_size": 64, "quantization_config": {"bits": 4}}))
    (tmp_path / "nvidia--MiniMax-M2.5-NVFP4.json").write_text(json.dumps({"hidden_size": 32}))
    return Configs(tmp_path)


def test_a_document_is_an_instance_with_a_name_that_kubernetes_takes() -> None:
    document = instance("Qwen3.5_B300 (fp8)", {"engine": "vllm", "engineVersion": None, "currentConfig": {}})
    assert document["kind"] == INFERENCE_INSTANCE.kind
    assert document["metadata"]["name"] == "qwen3-5-b300-fp8"
    assert document["spec"] == {"engine": "vllm"}


def test_long_names_stay_within_the_limit_and_apart() -> None:
    names = [slug("x" * 70 + end) for end in "ab"]
    assert [len(name) for name in names] == [63, 63]
    assert names[0] != names[1]


def test_a_measurement_says_layout_and_load_and_no_flag_that_the_file_omits(configs: Configs) -> None:
    spec = of_row(row(), configs)["spec"]
    assert spec["accelerator"] == {"product": "h200_sxm", "count": 4}
    assert spec["workload"] == {"concurrency": 8, "inputTokens": 1024, "outputTokens": 512}
    assert spec["currentConfig"] == {"tensor_parallel_size": 4, "quantization": "fp8"}
    assert spec["model"] == {"id": "org/model", "config": {"hidden_size": 64}}  # the method stands in the settings


def test_sixteen_bit_needs_no_method(configs: Configs) -> None:
    spec = of_row(row(precision="bf16"), configs)["spec"]
    assert "quantization" not in spec["currentConfig"]


def test_a_checkpoint_that_is_there_brings_its_own_method(configs: Configs) -> None:
    spec = of_row(row(model="MiniMaxAI/MiniMax-M2.5", precision="fp4"), configs)["spec"]
    assert spec["model"] == {"id": "nvidia/MiniMax-M2.5-NVFP4", "config": {"hidden_size": 32}}
    assert "quantization" not in spec["currentConfig"]


@pytest.mark.parametrize(
    ("engine", "fields", "settings"),
    [
        ("vllm", {"expert_parallel": 4}, {"enable_expert_parallel": True}),
        ("sglang", {"expert_parallel": 4}, {"expert_parallel_size": 4}),
        ("vllm", {"data_parallel": 2}, {"data_parallel_size": 2}),
        ("sglang", {}, {}),
    ],
)
def test_parallelism_is_spelled_as_the_engine_has_it(
    configs: Configs, engine: str, fields: dict[str, int], settings: dict[str, object]
) -> None:
    spec = of_row(row(engine=engine, precision="bf16", **fields), configs)["spec"]
    assert spec["currentConfig"] == {"tensor_parallel_size": 4, **settings}


def test_a_model_without_a_config_is_named_all_the_same(configs: Configs) -> None:
    assert of_row(row(model="org/other"), configs)["spec"]["model"] == {"id": "org/other"}


@pytest.mark.parametrize(
    ("gpu", "memory", "expected"),
    [
        ("Tesla T4", 14.74, {"product": "Tesla T4", "count": 1, "memoryGiB": 14.74}),
        ("NVIDIA L4 (page: A10G or L4)", None, {"product": "NVIDIA L4", "count": 1}),
        ("24GB NVIDIA GPU (name not stated)", None, {"count": 1, "memoryGiB": 24.0}),
        ("~96GB GPU (not read)", 95.6, {"count": 1, "memoryGiB": 95.6}),
    ],
)
def test_a_card_without_a_name_has_only_its_memory(gpu: str, memory: float | None, expected: dict[str, Any]) -> None:
    found = instance("x", {"accelerator": accelerator(gpu, 1, memory)})
    assert found["spec"]["accelerator"] == expected


def kv_record(**fields: Any) -> dict[str, Any]:
    names = "quantization max_num_batched_tokens max_num_seqs dtype enforce_eager notes gpu_memory_gib vllm_version"
    return {
        **dict.fromkeys(names.split()),
        "id": "kv-1",
        "model": "org/model",
        "base_model": "org/model",
        "model_config": {"hidden_size": 64, "total_params_b": 1.0},
        "gpu": "Tesla T4",
        "gpu_count": 1,
        "flags": [],
        "kv_cache_dtype": "auto",
        "max_model_len": 2048,
        "gpu_memory_utilization": 0.9,
        "gpu_memory_utilization_source": "command",
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "observed": {"kv_tokens": 4096, "max_concurrency": 2.0, "available_kv_gib": 1.5},
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "quantity", "measured"),
    [
        ({}, "tokens", 4096),
        ({"flags": ["hybrid_or_sliding_window_layout"]}, "concurrency", 2.0),
        ({"observed": {"max_concurrency": 2.0}}, "tokens", 4096.0),  # 2 x 2048
        ({"flags": ["hybrid_or_sliding_window_layout"], "observed": {"kv_tokens": 6144}}, "concurrency", 3.0),
        ({"observed": {"available_kv_gib": 1.5}}, "bytes", 1.5 * GIB),
    ],
)
def test_what_can_be_compared_depends_on_the_layout(fields: dict[str, Any], quantity: str, measured: float) -> None:
    case = case_of(kv_record(**fields))
    assert case is not None
    assert (case.quantity, case.measured) == (quantity, measured)


def test_a_log_without_a_number_is_no_case() -> None:
    assert case_of(kv_record(observed={"weights_gib": 1.0})) is None


@pytest.mark.parametrize(
    ("source", "value", "known"),
    [("command", 0.9, True), ("default (not set in the command)", 0.9, False), ("not in the part read", None, False)],
)
def test_a_utilization_that_nobody_states_is_not_known(source: str, value: float | None, known: bool) -> None:
    case = case_of(kv_record(gpu_memory_utilization_source=source, gpu_memory_utilization=value))
    assert case is not None
    assert case.known is known


def test_what_the_file_says_about_a_config_is_no_part_of_it() -> None:
    case = case_of(kv_record())
    assert case is not None
    assert case.document["spec"]["model"]["config"] == {"hidden_size": 64}


def test_a_format_is_passed_on_as_the_source_words_it() -> None:
    case = case_of(kv_record(quantization="fp8 (block)"))
    assert case is not None
    assert case.document["spec"]["currentConfig"]["quantization"] == "fp8 (block)"


def test_the_flags_of_a_start_script_can_be_told(configs: Configs) -> None:
    llama = row(model="meta-llama/Llama-3.1-70B", gpu="h200_sxm", precision="fp8", concurrency=16)
    flags = settings_of(llama)
    assert (flags["kv_cache_dtype"], flags["max_batch_size"], flags["max_model_len"]) == ("fp8", 16, 1736)
    assert of_row(llama, configs, flags)["spec"]["currentConfig"]["max_num_batched_tokens"] == 8192


@pytest.mark.parametrize(("concurrency", "interval"), [(8, 10), (16, 30)])
def test_sglangs_recipes_look_for_requests_less_often_with_more_clients(concurrency: int, interval: int) -> None:
    found = settings_of(row(model="Qwen/Qwen3.5-397B-A17B", engine="sglang", version="0.5.9", concurrency=concurrency))
    assert found["scheduler_recv_interval"] == interval


def test_without_a_known_script_there_are_no_flags() -> None:
    assert settings_of(row()) == {}
