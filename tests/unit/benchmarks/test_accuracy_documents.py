"""Instances as they are written from measurements, start-up logs and pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.accuracy.documents import Configs, accelerator, instance, of_row, slug
from benchmarks.accuracy.formats import NotExpressibleError, checkpoint_format
from benchmarks.accuracy.kv_cases import GIB, case_of, quantization_method
from benchmarks.accuracy.loads import load_of
from benchmarks.accuracy.pairs import pair_of
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


@pytest.mark.parametrize(
    ("text", "method"),
    [
        (None, None),
        ("awq int4", "awq"),
        ("modelopt nvfp4", "modelopt_fp4"),
        ("modelopt fp8", "modelopt"),
        ("fp8 (block, native)", "fp8"),
        ("auto_round int6 mixed", "auto-round"),
    ],
)
def test_formats_are_methods_as_the_flag_takes_them(text: str | None, method: str | None) -> None:
    assert quantization_method(text) == method


@pytest.mark.parametrize(
    ("text", "method", "settings"),
    [
        ("bf16", None, {}),
        ("fp8 static w8a8 (X, compressed-tensors)", "compressed-tensors", {}),
        ("fp8 (block)", "fp8", {}),
        ("gptq int4", "gptq", {}),
        ('int4 w4a16 GPTQ with quantization="gptq" forced', "gptq", {"quantization": "gptq", "dtype": "float16"}),
        ("awq_marlin int4", "awq", {}),
    ],
)
def test_formats_are_written_as_checkpoints_have_them(text: str, method: str | None, settings: dict[str, str]) -> None:
    found, changed = checkpoint_format(text)
    assert (None if found is None else found["quant_method"], changed) == (method, settings)


def pair_record(**fields: Any) -> dict[str, Any]:
    return {
        "id": "pair-1",
        "engine": "vLLM",
        "engine_version": "0.7.3",
        "gpu": "NVIDIA L4",
        "gpu_family": "L4",
        "model": "org/model",
        "notes": "gpu_memory_utilization 0.95, max_num_seqs 512",
        "tensor_parallel_size": "1 -> 2",
        "source_group": "somebody",
        "setting_category": "tensor_parallel",
        "setting_changed": {"name": "tensor_parallel_size", "before": 1, "after": 2},
        "workload": {"input_len": 128, "output_len": 64, "num_prompts": 10},
        "ratio_after_over_before": {"output_tok_s": 1.5, "ttft_ms_p99": 3.0},
        "low_confidence": False,
        "only_one_setting_changed": True,
        **fields,
    }


_SHAPES = {"org/model": {"hidden_size": 64}}


def test_a_pair_is_two_instances_that_differ_in_the_setting(configs: Configs) -> None:
    pair = pair_of(pair_record(), configs, _SHAPES)
    before, after = pair.before["spec"], pair.after["spec"]
    assert before["currentConfig"] == {
        "tensor_parallel_size": 1,
        "gpu_memory_utilization": 0.95,
        "max_batch_size": 512,
    }
    assert after["currentConfig"] == {**before["currentConfig"], "tensor_parallel_size": 2}
    assert (before["accelerator"]["count"], after["accelerator"]["count"]) == (1, 2)
    assert pair.metric == "output_tok_s"
    assert pair.ratios == {"output_tok_s": 1.5}  # tails are not estimated


def test_a_quantization_changes_the_checkpoint(configs: Configs) -> None:
    changed = {"name": "quantization", "before": "bf16", "after": "gptq int8"}
    record = pair_record(setting_category="quantization", setting_changed=changed, tensor_parallel_size=1)
    pair = pair_of(record, configs, _SHAPES)
    assert "quantization_config" not in pair.before["spec"]["model"]["config"]
    assert pair.after["spec"]["model"]["config"]["quantization_config"]["bits"] == 8
    assert pair.before["spec"]["currentConfig"] == pair.after["spec"]["currentConfig"]


@pytest.mark.parametrize(
    "fields",
    [
        {"gpu": "not stated"},
        {"model": "org/unknown"},
        {"setting_category": "attention_backend"},
        {"workload": {"request_rate_qps": 10}},
        {"ratio_after_over_before": {"successful_requests": 1.0}},
        {
            "setting_category": "quantization",
            "setting_changed": {"name": "quantization", "before": "bf16", "after": "w4a8_awq"},
        },
    ],
)
def test_what_a_source_does_not_say_cannot_be_written(configs: Configs, fields: dict[str, Any]) -> None:
    with pytest.raises(NotExpressibleError):
        pair_of(pair_record(**fields), configs, _SHAPES)


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ({"num_prompts": 50, "request_rate": "inf (all at once)"}, {"concurrency": 50}),
        ({"concurrency": 10, "request_rate_qps": 10, "num_prompts": 2000}, {"concurrency": 10}),
        ({"request_rate_qps": 16}, {"requestsPerSecond": 16}),
        ({"request_rate_qps": 1000}, {"concurrency": 1000}),  # all have come after a second
        ({"batch_size": 8}, {"concurrency": 8}),
    ],
)
def test_all_requests_at_once_are_a_closed_loop(workload: dict[str, Any], expected: dict[str, float]) -> None:
    lengths = {"input_len": 128, "output_len": 64}
    found = load_of(pair_record(workload={**lengths, **workload}))
    assert found == {**expected, "inputTokens": 128, "outputTokens": 64}
