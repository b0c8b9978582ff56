"""POST /api/v1/optimize over ASGI: answers and refusals."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import Answer, call

from inferplan.web.app import create_app
from inferplan.web.bodies import BODY_BYTES_MAX
from inferplan.web.openapi import MEASURED, NOTHING_KNOWN
from inferplan.web.ports import Parts

GOLDENS = Path(__file__).parents[2] / "goldens" / "http"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SEED = {
    "instance_id": "localhost:8000",
    "instance_type": "vllm",
    "current_config": {"max_batch_size": 32, "quantization": "none", "max_model_len": 4096},
}
FULL_CACHE: dict[str, Any] = {
    **MEASURED,
    "metrics": {"num_requests_running": 20, "num_requests_waiting": 9, "kv_cache_usage": 1, "kv_cache_tokens": 60000},
}


async def post(body: Any, headers: dict[str, str] | None = None) -> Answer:
    raw = body if isinstance(body, bytes | list) else json.dumps(body).encode()
    return await call(create_app(lambda: NOW, Parts(new_id=lambda: "id")), "POST", "/api/v1/optimize", raw, headers)


def compare(name: str, answer: Any, update: bool) -> None:
    """Compares with the golden file, in which <ANY> stands for any text."""
    file = GOLDENS / f"{name}.json"
    seen = {**answer, "timestamp": "<ANY>"}
    if update:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert answer["timestamp"] == "2026-03-01T12:00:00Z"
    assert seen == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "body"), [("nothing-known", SEED), ("scheduler-capped", MEASURED), ("kv-bound", FULL_CACHE)]
)
async def test_the_whole_answer_is_as_expected(name: str, body: Any, update_goldens: bool) -> None:
    answer = await post(body)
    assert answer.status == 200
    compare(name, answer.json, update_goldens)


async def test_a_declared_load_is_planned_for_as_an_estimate() -> None:
    stated = {name: value for name, value in MEASURED.items() if name != "metrics"}
    traffic = {"concurrency": 96, "input_tokens": 1000, "output_tokens": 300}
    plan = (await post({**stated, "workload": traffic})).json
    (entry,) = plan["optimizations"]
    (change,) = entry["config_changes"]
    assert (change["parameter"], change["recommended_value"]) == ("max_batch_size", 64)
    assert change["reason"].startswith("Estimated for the declared load, not measured: ")
    assert change["evidence"][0]["formula"] == "spec.workload"
    assert (entry["confidence"], entry["source"]) == ("low", "ruleOfThumb")


async def test_with_nothing_known_the_contract_s_rules_of_thumb_come_out() -> None:
    plan = (await post(SEED)).json
    assert plan["priority_order"] == ["quantization_0", "batching_1"]
    quantization, batching = plan["optimizations"]
    (change,) = quantization["config_changes"]
    assert (change["parameter"], change["current_value"], change["recommended_value"]) == (
        "quantization",
        "none",
        "int8",
    )
    (change,) = batching["config_changes"]
    assert (change["parameter"], change["current_value"], change["recommended_value"]) == ("max_batch_size", 32, 64)
    assert (quantization["expected_impact"], batching["expected_impact"]) == ("high", "medium")
    for entry in (quantization, batching):
        assert (entry["confidence"], entry["source"]) == ("low", "ruleOfThumb")
        assert len(entry["raises_confidence"]) == 3
    config = plan["quantization_config"]
    assert (config["method"], config["target_bits"], config["quantize_weights"]) == ("int8", 8, True)
    assert config["quantize_activations"] is False
    assert plan["batching_config"]["max_batch_size"] == 64


async def test_the_example_in_the_description_is_the_contract_s_request() -> None:
    assert NOTHING_KNOWN == SEED


async def test_a_full_cache_is_never_answered_with_a_larger_batch() -> None:
    plan = (await post(FULL_CACHE)).json
    assert [entry["type"] for entry in plan["optimizations"]] == ["kv_cache"]
    assert plan["batching_config"] is None


async def test_camel_case_and_the_engine_s_flags_are_understood_as_well() -> None:
    body = {"instanceId": "a", "instanceType": "vllm", "currentConfig": {"--max-num-seqs": 32, "quantization": "none"}}
    answer = await post(body)
    assert answer.status == 200
    assert answer.json["batching_config"]["max_batch_size"] == 64


async def test_a_host_and_port_is_only_a_name() -> None:
    answer = await post({**SEED, "instance_id": "10.0.0.1:22"})
    assert answer.status == 200
    assert answer.json["instance_id"] == "10.0.0.1:22"


async def test_a_body_needs_no_content_type() -> None:
    assert (await post(SEED, {"content-type": "text/plain"})).status == 200


async def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    answer = await post({**SEED, "instance_type": "ollama"})
    assert answer.status == 400
    assert answer.json == {
        "error": 'instance_type: "ollama" is no engine; allowed: vllm, sglang, tgi',
        "field": "instance_type",
        "allowed": ["vllm", "sglang", "tgi"],
    }


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"instance_id": None}, "instance_id", "null must be text"),
        ({"curent_config": {}}, "curent_config", 'did you mean "current_config"?'),
        ({"current_config": {"max_batchsize": 1}}, "current_config.max_batchsize", 'did you mean "max_batch_size"?'),
        ({"current_config": {"max_batch_size": 0}}, "current_config.max_batch_size", "0 must be a whole number from 1"),
        ({"current_config": {"max_batch_size": "many"}}, "current_config.max_batch_size", '"many" must be a whole'),
        ({"current_config": {"max_batch_size": True}}, "current_config.max_batch_size", "true must be a whole number"),
        ({"current_config": {"max_batch_size": 10**400}}, "current_config.max_batch_size", "whole number from 1"),
        ({"current_config": {"max_batch_size": [1]}}, "current_config.max_batch_size", "[1] must be text, a number"),
        ({"current_config": {"quantization": 8}}, "current_config.quantization", "8 must be text"),
        ({"current_config": {"swap_space": "x" * 300}}, "current_config.swap_space", "text of at most 256 characters"),
        (
            {"current_config": {"--swap-space": 10**400}},
            "current_config.--swap-space",
            "must be true or false, a number",
        ),
        ({"current_config": {"gpu_memory_utilization": 92}}, "current_config.gpu_memory_utilization", "at most 1"),
        (
            {"current_config": {"max_batch_size": 1, "max_num_seqs": 2}},
            "current_config.max_num_seqs",
            "means the same setting as max_batch_size",
        ),
        ({"constraints": {"forbid": ["quantisation"]}}, "constraints.forbid[0]", 'did you mean "quantization"?'),
        (
            {"constraints": {"optimizers": ["kv"]}},
            "constraints.optimizers[0]",
            "allowed: kvCache, quantization, batching, version",
        ),
        ({"constraints": {"optimizers": ["batching", "batching"]}}, "constraints.optimizers", "named once"),
        ({"slo_targets": [{"metric": "ttft", "percentile": 95}]}, "slo_targets[0].target_milliseconds", "is missing"),
        (
            {"slo_targets": [{"metric": "ttft", "percentile": 0, "target_milliseconds": 1}]},
            "slo_targets[0].percentile",
            "0 must be",
        ),
        (
            {
                "slo_targets": [
                    {"metric": "itl", "percentile": p, "target_milliseconds": t} for p, t in ((50, 9), (99, 5))
                ]
            },
            "slo_targets",
            "a higher percentile cannot have a lower target",
        ),
        (
            {"slo_targets": [{"metric": "itl", "percentile": 50, "target_milliseconds": 5}] * 2},
            "slo_targets",
            "itl p50 is given twice",
        ),
        ({"workload": {"input_tokens": 5, "input_tokens_p95": 3}}, "workload", "3, is below their mean, 5"),
        ({"engine_version": "newest"}, "engine_version", '"newest" must match'),
        ({"accelerator": {"memory_gib": 0}}, "accelerator.memory_gib", "0 must be greater than or equal to 1"),
        ({"metrics": {"kv_cache_usage": 1.5}}, "metrics.kv_cache_usage", "1.5 must be less than or equal to 1"),
        ({"metrics": {"num_requests_running": 1e300}}, "metrics.num_requests_running", "at most 1e+12"),
        ({"metrics": {"kv_cache_tokens": 10**400}}, "metrics.kv_cache_tokens", "at most 1e+12"),
        ({"model": {"config_map_ref": {"name": "a"}}}, "model.config_map_ref", "no cluster is asked here"),
        (
            {"model": {"config": {}, "config_map_ref": {"name": "a"}}},
            "model.config_map_ref",
            "no cluster is asked here",
        ),
        ({"objective": "speed"}, "objective", "allowed: throughput, latency, balanced"),
    ],
)
async def test_a_malformed_field_is_named_with_what_is_allowed(change: Any, field: str, told: str) -> None:
    answer = await post({**SEED, **change})
    assert answer.status == 422
    assert answer.json["field"] == field
    assert answer.json["error"].startswith(f"{field}: ")
    assert told in answer.json["error"]
    assert len(answer.json["problems"]) == 1


async def test_every_problem_is_named_and_once() -> None:
    answer = await post({"current_config": 5, "objective": "x", "metrics": {"a": 1}})
    fields = {entry["field"] for entry in answer.json["problems"]}
    assert fields == {"instance_id", "instance_type", "current_config", "objective", "metrics.a"}
    assert len(answer.json["problems"]) == 5


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"instance_id": NaN}', b"3", b"[]", b"null"]
)
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    answer = await post(body)
    assert answer.status == 422
    assert answer.json["problems"]


async def test_a_body_above_the_limit_is_refused_before_it_is_read() -> None:
    answer = await post(b"{}", {"content-length": str(BODY_BYTES_MAX + 1)})
    assert answer.status == 413
    assert "1048576 bytes" in answer.json["error"]


async def test_a_body_in_parts_is_refused_when_it_passes_the_limit() -> None:
    assert (await post([b" " * BODY_BYTES_MAX, b"{}"])).status == 413


async def test_a_body_at_the_limit_is_read() -> None:
    raw = json.dumps(SEED).encode()
    assert (await post([b" " * (BODY_BYTES_MAX - len(raw)), raw])).status == 200
