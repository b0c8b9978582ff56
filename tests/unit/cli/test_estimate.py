"""`inferplan estimate` on files: what it prints of one document and of many."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.api.estimate import Estimate
from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.cli import main
from inferplan.domain.measurement import Missing
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval, Performance

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
}
LOAD = {"concurrency": 64, "inputTokens": 1024, "outputTokens": 256}
SPEC: dict[str, Any] = {
    "engine": "vllm",
    "engineVersion": "0.33.0",
    "model": {"id": "meta-llama/Llama-3.1-8B-Instruct", "config": LLAMA},
    "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
    "currentConfig": {"max_model_len": 8192},
    "workload": LOAD,
}
SPEED = Performance(
    ttft_milliseconds=Interval(80, 120, 190),
    itl_milliseconds=Interval(7, 9.1, 11),
    output_tokens_per_second=Interval(5000, 6900, 8000),
    requests_per_second=Interval(20, 27, 31),
    source=Source.ROOFLINE,
)
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llama"},
    "spec": {
        "replicas": 4,
        "template": {
            "spec": {
                "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L40S"},
                "containers": [
                    {
                        "name": "vllm",
                        "image": "vllm/vllm-openai:v0.30.0",
                        "args": ["--model", "org/Llama", "--max-model-len", "4096"],
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                    }
                ],
            }
        },
    },
}

Write = Callable[..., str]


class Told:
    """An estimator that answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: Performance | Missing) -> None:
        self.answer = answer
        self.asked: list[tuple[EstimateInput, Load]] = []

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        self.asked.append((situation, load))
        return self.answer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The estimator of this test."""
    made = Told(SPEED)
    monkeypatch.setattr("inferplan.cli.estimate.estimator", lambda _: made)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes documents, or text, to a file and gives its name."""

    def written(*documents: Any, name: str = "objects.yaml") -> str:
        texts = [entry if isinstance(entry, str) else yaml.safe_dump(entry) for entry in documents]
        file = tmp_path / name
        file.write_text("---\n".join(texts), encoding="utf-8")
        return str(file)

    return written


def instance(name: str = "llama", /, **spec: Any) -> dict[str, Any]:
    """An instance with the usual spec, other fields where they are given; None takes one out."""
    fields = {key: value for key, value in {**SPEC, **spec}.items() if value is not None}
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": name},
        "spec": fields,
    }


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["estimate", *words])
    out, err = capsys.readouterr()
    return code, out, err


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = run(capsys, *words, "-o", "jsonl")
    assert err == ""
    return code, [json.loads(line) for line in out.splitlines()]


def one(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = run(capsys, *words, "-o", "json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_one_document_is_one_object_with_the_contracts_fields(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    found = one(capsys, "-f", write(instance()))
    assert {"weightsBytes", "activationBytes", "overheadBytes", "kvCacheBytes", "kvCacheTokens", "maxConcurrency"} <= (
        found["memory"].keys()
    )
    assert found["performance"]["ttftMilliseconds"] == {"low": 80, "expected": 120, "high": 190}
    assert found["performance"]["itlMilliseconds"] == {"low": 7, "expected": 9.1, "high": 11}
    assert found["performance"]["outputTokensPerSecond"] == {"low": 5000, "expected": 6900, "high": 8000}
    assert (found["source"], found["unavailable"]) == ("roofline", {})
    assert found["confidence"] == ("low" if found["assumptions"] else "medium")
    Estimate.model_validate(found)
    assert len(told.asked) == 1


def test_the_terms_add_up_to_what_the_engine_may_use(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = one(capsys, "-f", write(instance()))["memory"]
    named = ("weightsBytes", "activationBytes", "overheadBytes", "kvCacheBytes")
    assert sum(memory[name] for name in named) == sum(term["bytes"] for term in memory["terms"])
    assert memory["totalBytes"] == sum(memory[name] for name in named)
    # Llama-3.1-8B in bf16: 8,030,261,248 parameters x 2, and a rotary table of 131,072 x 128 x 2
    assert memory["weightsBytes"] == 16_060_522_496 + 33_554_432
    assert (memory["fits"], memory["surelyFits"], memory["whyNot"]) == (True, True, None)
    assert len(told.asked) == 1


def test_the_load_comes_from_the_workload(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    workload = {**LOAD, "prefixShare": 0.5}
    found = one(capsys, "-f", write(instance(workload=workload)))
    assert told.asked[0][1] == Load(64, None, 1024, 256, 0.5)
    assert found["load"] == {
        "concurrency": 64,
        "requestsPerSecond": None,
        "inputTokens": 1024,
        "outputTokens": 256,
        "prefixShare": 0.5,
    }


def test_flags_win_over_the_workload(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    one(capsys, "-f", write(instance()), "--batch", "8", "--input", "100", "--output", "10")
    assert told.asked[0][1] == Load(8, None, 100, 10)


def test_without_a_load_there_is_memory_and_the_reason_why_no_speed(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    found = one(capsys, "-f", write(instance(workload=None)))
    assert found["memory"]["kvCacheTokens"] > 0
    assert (found["performance"], found["load"]) == (None, None)
    assert found["unavailable"]["performance"]["code"] == "LoadUnknown"
    assert "--batch" in found["unavailable"]["performance"]["reason"]
    assert told.asked == []


def test_past_saturation_throughput_has_a_number_and_latency_a_reason(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = Missing(Reason.SATURATED, "30 requests per second arrive and 27 are served")
    told.answer = replace(SPEED, ttft_milliseconds=endless, saturated=True)
    path = write(instance())
    found = one(capsys, "-f", path)
    assert found["performance"]["ttftMilliseconds"] is None
    assert found["performance"]["saturated"] is True
    assert found["unavailable"]["performance.ttftMilliseconds"] == {"code": "Saturated", "reason": endless.reason}
    _, table, _ = run(capsys, "-f", path)
    assert "more arrives than it can serve" in table
    assert "no number: 30 requests per second arrive" in table


def test_where_the_estimator_has_no_basis_memory_stays(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.answer = Missing(Reason.ACCELERATOR_UNKNOWN, "nothing is known of the GPU's bandwidth")
    found = one(capsys, "-f", write(instance()))
    assert found["performance"] is None
    assert found["unavailable"] == {
        "performance": {"code": "AcceleratorUnknown", "reason": "nothing is known of the GPU's bandwidth"}
    }


def test_speed_is_not_asked_for_a_request_that_the_engine_refuses(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    found = one(capsys, "-f", write(instance(currentConfig={"max_model_len": 1279})))  # 1,024 + 256 = 1,280
    assert found["unavailable"]["performance"]["code"] == "DoesNotFit"
    assert "longer than max_model_len 1,279" in found["unavailable"]["performance"]["reason"]
    assert told.asked == []


def test_a_model_that_does_not_fit_has_no_speed(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"product": "NVIDIA-L4", "count": 1, "memoryGiB": 12}  # weights alone are 15 GiB
    found = one(capsys, "-f", write(instance(accelerator=small)))
    assert found["memory"]["fits"] is False
    assert found["memory"]["kvCacheBytes"] == 0
    assert found["unavailable"]["performance"]["code"] == "DoesNotFit"
    assert told.asked == []


def test_many_documents_are_a_line_each_in_order(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(*(instance(f"n-{number}") for number in range(5)))
    code, found = lines(capsys, "-f", path, "-f", write(instance("last"), name="b.yaml"))
    assert code == 0
    assert [entry["instance"]["name"] for entry in found] == ["n-0", "n-1", "n-2", "n-3", "n-4", "last"]
    assert found[1]["instance"]["place"] == f"{path}: document 2"
    assert len(told.asked) == 6


def test_a_bad_document_is_an_error_in_its_line_and_loses_no_other(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        instance("first"),
        instance(engine="vlm"),
        "a: [\n",
        "- 1\n",
        {"apiVersion": "inferplan.dev/v1alpha1", "kind": "InferenceInstanc"},
        {"spec": {}},
        instance("last"),
    )
    code, found = lines(capsys, "-f", path)
    assert code == 2
    assert [entry.get("instance", {}).get("name") for entry in found] == ["first", *[None] * 5, "last"]
    errors = [entry["error"].removeprefix(f"{path}: ") for entry in found[1:-1]]
    assert errors[0] == 'document 2: spec.engine: "vlm" is not allowed; allowed: vllm, sglang, tgi'
    assert errors[1].startswith("document 3: line ")
    assert errors[2] == "document 4: holds a list, not an object with apiVersion and kind"
    assert errors[3] == (
        'document 5: kind: "InferenceInstanc" is not InferenceInstance, did you mean "InferenceInstance"?'
    )
    assert errors[4] == "document 6: kind: null is not InferenceInstance"
    assert len(told.asked) == 2


def test_many_documents_as_json_are_a_list(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "-f", write(instance("a"), instance(engine="x"), instance("b")), "-o", "json")
    found = json.loads(out)
    assert code == 2
    assert [list(entry) == ["error"] for entry in found] == [False, True, False]
    assert err.startswith("inferplan estimate: ")
    assert "spec.engine" in err
    assert len(told.asked) == 2


def test_many_documents_as_yaml_are_documents(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "-f", write(instance("a"), instance("b")), "-o", "yaml")
    assert code == 0
    assert [entry["instance"]["name"] for entry in yaml.safe_load_all(out)] == ["a", "b"]
    assert len(told.asked) == 2


def test_the_table_shows_every_number_with_its_interval(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "-f", write(instance()))
    assert (code, err) == (0, "")
    for expected in (
        "InferenceInstance default/llama",
        "vllm 0.33.0",
        "1 x NVIDIA-H100-80GB-HBM3",
        "64 requests at once, 1,024 tokens in, 256 out",
        "Memory per GPU: ",
        "weights",
        "KV cache holds",
        "requests of full length",
        "time to first token                 120  (80 to 190) ms",
        "time between tokens                 9.1  (7 to 11) ms",
        "output tokens                     6,900  (5,000 to 8,000) per second",
        "Rests on roofline; confidence ",
    ):
        assert expected in out
    assert max(map(len, out.splitlines())) <= 130
    assert len(told.asked) == 1


def test_a_bad_document_among_tables_is_told_on_standard_error(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "-f", write(instance(engine="x"), instance("good")))
    assert code == 2
    assert "default/good" in out
    assert "spec.engine" in err
    assert len(told.asked) == 1


def test_each_instance_is_read_with_its_own_workload(
    write: Write, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    second = {**DEPLOYMENT, "metadata": {"name": "other"}}
    wanted = {"engineVersion": None, "accelerator": None, "currentConfig": None}
    refs = [instance(name, targetRef={"name": name}, **wanted) for name in ("llama", "other", "nowhere")]
    code, found = lines(capsys, "-f", write(DEPLOYMENT, refs[0], second, refs[1], refs[2]))
    assert code == 0
    assert [entry["engineVersion"] for entry in found] == ["0.30.0", "0.30.0", "0.33.0"]
    assert found[0]["accelerator"]["product"] == "NVIDIA-L40S"
    assert told.asked[0][0].config.integer("max_model_len") == 4096
    assert found[2]["unavailable"]["memory"]["code"] == "AcceleratorUnknown"  # its Deployment is not there
    assert any("Deployment nowhere is in none of the files" in note for note in found[2]["notes"])


def test_arrivals_are_shared_among_the_replicas(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    workload = {"requestsPerSecond": 10, "inputTokens": 100, "outputTokens": 10}
    own = instance(targetRef={"name": "llama"}, workload=workload, engineVersion=None)
    found = one(capsys, "-f", write(own, DEPLOYMENT))
    assert told.asked[0][1] == Load(None, 2.5, 100, 10)  # 10 over 4 replicas
    assert not any("replica" in sentence for sentence in found["assumptions"])


def test_a_config_map_holds_the_model(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "llama-config"},
        "data": {"config.json": json.dumps(LLAMA)},
    }
    model = {"configMapRef": {"name": "llama-config"}}
    assert one(capsys, "-f", write(config_map, instance(model=model)))["memory"]["weightsBytes"] > 0
    assert told.asked[0][0].model.hidden_size == 4096
    assert main(["estimate", "-f", write(instance(model=model))]) == 2
    assert "spec.model.configMapRef: ConfigMap llama-config is in none of the files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stated", "version", "told_of"),
    [
        ("0.8.5.post1", "0.8.5.post1", None),
        ("0.11.0+582e4e37.nv25.11", "0.11.0+582e4e37.nv25.11", None),
        (">=0.21 (log says default since v0.21.0)", "0.21", 'spec.engineVersion ">=0.21'),
        ("0.26.1rc1.dev608+g99a10304d", "0.26.1rc1.dev608+g99a10304d", None),
        ("~0.6.2-0.6.3 (Oct 2024 build)", "0.6.2", "is read as 0.6.2"),
        ("v0.10.1", "0.10.1", "is read as 0.10.1"),
        ("nightly 1acd67a7", "0.33.0", "names no release"),
        (None, "0.33.0", "the engine's version is not known: vllm 0.33.0"),
    ],
)
def test_a_version_that_is_written_loosely_is_read_and_told(
    stated: str | None,
    version: str,
    told_of: str | None,
    write: Write,
    told: Told,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = one(capsys, "-f", write(instance(engineVersion=stated)))
    assert found["engineVersion"] == version
    assert told.asked[0][0].config.version == version
    about = [sentence for sentence in found["assumptions"] if "ersion" in sentence]
    assert (told_of is None and about == []) or any(told_of in sentence for sentence in about if told_of)


def test_what_was_assumed_lowers_the_confidence(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    found = one(capsys, "-f", write(instance(engineVersion="nightly")))
    assert found["confidence"] == "low"
    assert len(told.asked) == 1


def test_neither_a_name_nor_settings_are_needed(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    own = instance(currentConfig=None)
    del own["metadata"]
    found = one(capsys, "-f", write(own))
    assert found["instance"]["name"] is None
    assert "spec.currentConfig is not given: every setting is the release's default" in found["assumptions"]
    assert len(told.asked) == 1


def test_memory_in_fractions_of_a_gib_is_taken(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = {"product": "NVIDIA-A100-SXM4-40GB", "count": 1, "memoryGiB": 39.56}
    found = one(capsys, "-f", write(instance(accelerator=gpu)))
    assert found["accelerator"]["usableMiB"] == 40_509  # 39.56 x 1024 = 40,509.4
    assert len(told.asked) == 1


def test_other_kinds_are_left_out_with_a_note(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    code, out, err = run(capsys, "-f", write(service, instance()), "-o", "jsonl")
    assert (code, len(out.splitlines())) == (0, 1)
    assert "Service is not needed and left out" in err
    assert len(told.asked) == 1


def test_a_list_of_kubectl_is_taken_apart(write: Write, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    objects = {"apiVersion": "v1", "kind": "List", "items": [instance("a"), 3, instance("b")]}
    code, found = lines(capsys, "-f", write(objects))
    assert code == 2
    assert [entry.get("instance", {}).get("name") for entry in found] == ["a", None, "b"]
    assert "item 2: holds a int" in found[1]["error"]
    assert len(told.asked) == 2


def test_standard_input_is_a_file_too(
    told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(instance())))
    assert one(capsys, "-f", "-")["instance"]["place"] == "-"
    assert len(told.asked) == 1


def test_a_fault_in_one_document_loses_no_other(
    write: Write, told: Told, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sized(config: Any, *_: Any) -> Mapping[str, Any] | Missing:
        if config.integer("max_model_len") == 1:
            raise ZeroDivisionError("division by zero")
        return Missing(Reason.SETTING_UNKNOWN, "not asked here")

    monkeypatch.setattr("inferplan.cli.estimate.estimate_memory", sized)
    path = write(instance(), instance(currentConfig={"max_model_len": 1}), instance())
    code, found = lines(capsys, "-f", path)
    assert code == 2
    assert found[1] == {
        "error": f"{path}: document 2: a fault of inferplan, please report it: ZeroDivisionError: division by zero"
    }
    assert [entry["memory"] for entry in (found[0], found[2])] == [None, None]
    assert len(told.asked) == 2
