"""The two sides of a pair, and absolute speeds, as instances."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.accuracy.documents import Configs
from benchmarks.accuracy.elsewhere import points_of
from benchmarks.accuracy.formats import NotExpressibleError, checkpoint_format
from benchmarks.accuracy.loads import load_of
from benchmarks.accuracy.pairs import pair_of


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    return Configs(tmp_path)


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
        "metrics_before": {},
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


def test_at_a_rate_that_is_served_latency_stands_for_the_pair(configs: Configs) -> None:
    ratios = {"output_tok_s": 1.0, "tpot_ms_mean": 0.6}
    workload = {"input_len": 128, "output_len": 64, "request_rate_qps": 2}
    assert pair_of(pair_record(ratio_after_over_before=ratios), configs, _SHAPES).metric == "output_tok_s"
    open_loop = pair_record(ratio_after_over_before=ratios, workload=workload)
    assert pair_of(open_loop, configs, _SHAPES).metric == "tpot_ms_mean"


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
        ({"request_rate_qps": 18, "num_prompts": 500}, {"concurrency": 500}),  # 16 of 18 a second were served
        ({"batch_size": 8}, {"concurrency": 8}),
    ],
)
def test_all_requests_at_once_are_a_closed_loop(workload: dict[str, Any], expected: dict[str, float]) -> None:
    lengths = {"input_len": 128, "output_len": 64}
    found = load_of(pair_record(workload={**lengths, **workload}, metrics_before={"requests_per_s": 16.0}))
    assert found == {**expected, "inputTokens": 128, "outputTokens": 64}


def online(p50: float) -> dict[str, Any]:
    side = {"ttft_ms_p50": p50, "tpot_ms_p50": 20.0}
    return {"5": {"before": side, "after": side}}


def test_absolute_speeds_are_compared_too(configs: Configs) -> None:
    metrics = {"total_tok_s": 300.0, "tpot_ms_mean": 12.0, "ttft_ms_mean": 900.0}
    record = pair_record(
        workload={"input_len": 128, "output_len": 64, "num_prompts": 10},
        metrics_before=metrics,
        metrics_after={"output_tok_s": 150.0},
        online_by_target_qps=online(80.0),
        model="org/model",
    )
    found = points_of(record, configs, _SHAPES)
    told = [(point.quantity, point.measured) for point in found]
    # 300 tokens/s in and out of 128 + 64: 100 out; all at once: no TTFT; online: both sides, both latencies
    assert told == [("tokens", 100.0), ("tpot", 12.0), ("tokens", 150.0), *[("tpot", 20.0), ("ttft", 80.0)] * 2]
    assert found[-1].document["spec"]["workload"] == {"inputTokens": 128, "outputTokens": 64, "requestsPerSecond": 5.0}


def test_a_queue_has_no_latency_to_compare(configs: Configs) -> None:
    record = pair_record(metrics_before={}, metrics_after={}, online_by_target_qps=online(900.0))
    assert points_of(record, configs, _SHAPES) == []
