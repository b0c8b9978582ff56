"""`inferplan estimate` on what cannot be used: one line that names place, field and what is allowed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.cli import main

CONFIG: dict[str, Any] = {
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
SPEC: dict[str, Any] = {
    "engine": "vllm",
    "engineVersion": "0.33.0",
    "model": {"id": "org/llama", "config": CONFIG},
    "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
    "currentConfig": {"max_model_len": 8192},
    "workload": {"concurrency": 64, "inputTokens": 1024, "outputTokens": 256},
}
NAN = float("nan")


def document(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "inferplan.dev/v1alpha1", "kind": "InferenceInstance", "spec": spec}


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The usual document with one field of its spec set, or taken out where the value is `...`."""
    spec = json.loads(json.dumps(SPEC))
    *outer, last = path.split(".")
    holder = spec
    for step in outer:
        holder = holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return document(spec)


def refusal(file: Path, content: Any, capsys: pytest.CaptureFixture[str], words: Sequence[str] = ()) -> str:
    """The one line that the command prints of a document, without the file's name."""
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    code = main(["estimate", "-f", str(file), "-o", "jsonl", *words])
    out, err = capsys.readouterr()
    assert (code, err, out.count("\n")) == (2, "", 1)
    error: str = json.loads(out)["error"]
    assert error.startswith(f"{file}: ")
    return error.removeprefix(f"{file}: ")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instance.yaml"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("engine", ..., "spec.engine: is missing"),
        ("engine", "vlm", 'spec.engine: "vlm" is not allowed; allowed: vllm, sglang, tgi'),
        ("engineVersion", 0.33, "spec.engineVersion: 0.33 must be text; put it in quotes"),
        ("engineVersion", "banana", 'spec.engineVersion: "banana" must match '),
        ("enginVersion", "0.33.0", 'spec.enginVersion: unknown field, did you mean "engineVersion"?'),
        ("accelerator.count", 0, "spec.accelerator.count: 0 must be greater than or equal to 1"),
        ("accelerator.count", -1, "spec.accelerator.count: -1 must be greater than or equal to 1"),
        ("accelerator.count", 10**12, "spec.accelerator.count: 1000000000000 must be less than or equal to 1024"),
        ("accelerator.memoryGiB", NAN, "spec.accelerator.memoryGiB: NaN must be a finite number"),
        ("accelerator.memoryGiB", 0, "spec.accelerator.memoryGiB: 0 must be greater than or equal to 1"),
        ("accelerator.memoryGib", 80, 'spec.accelerator.memoryGib: unknown field, did you mean "memoryGiB"?'),
        ("workload.concurrency", 0, "spec.workload.concurrency: 0 must be greater than or equal to 1"),
        ("workload.concurrency", NAN, "spec.workload.concurrency: NaN must be a finite number"),
        ("workload.inputTokens", -5, "spec.workload.inputTokens: -5 must be greater than or equal to 1"),
        ("workload.outputTokens", 10**12, "spec.workload.outputTokens: 1000000000000 must be less than or equal to"),
        ("workload.requestsPerSecond", NAN, "spec.workload.requestsPerSecond: NaN must be a finite number"),
        ("workload.prefixShare", 1.5, "spec.workload.prefixShare: 1.5 must be less than or equal to 1"),
        ("workload.inputTokensP95", 10, "spec.workload: the 95th percentile of input tokens, 10, is below their mean"),
        (
            "currentConfig.gpu_memory_utilization",
            NAN,
            "spec.currentConfig.gpu_memory_utilization: NaN must be a finite number",
        ),
        (
            "currentConfig.gpu_memory_utilization",
            0,
            "spec.currentConfig.gpu_memory_utilization: 0 must be a number above 0 and at most 1",
        ),
        ("currentConfig.max_model_len", -8192, "spec.currentConfig.max_model_len: -8192 must be a whole number from 1"),
        ("currentConfig.max_batch_size", 10**30, "spec.currentConfig.max_batch_size: 1"),
        ("currentConfig.max_model_ln", 1, "spec.currentConfig.max_model_ln: unknown config key"),
        (
            "currentConfig.tensor_parallel_size",
            2,
            "spec.accelerator.count: 1 is less than tensor_parallel_size 2 x pipeline_parallel_size 1; it must be 2",
        ),
        ("model.config.num_hidden_layers", 10**12, "spec.model.config: num_hidden_layers must be "),
        ("model.config.num_hidden_layers", 0, "spec.model.config: num_hidden_layers must be "),
        ("model.config.num_hidden_layers", -1, "spec.model.config: num_hidden_layers must be "),
        ("model.config.num_hidden_layers", "many", "spec.model.config: num_hidden_layers must be "),
        ("model.config.num_hidden_layers", ..., "spec.model.config: num_hidden_layers"),
        ("model.config.hidden_size", ..., "spec.model.config: hidden_size"),
        ("model.config.hidden_size", 1.5, "spec.model.config: hidden_size must be "),
        ("model.config.num_key_value_heads", 7, "num_key_value_heads 7"),  # 32 is no multiple of 7
        ("model.config.architectures", ["NobodyForCausalLM"], "NobodyForCausalLM"),
        ("model", ..., "spec.model: "),
        ("accelerator", ..., "spec.accelerator: "),
        ("accelerator.product", "Abacus", "spec.accelerator: "),
    ],
)
def test_a_field_that_cannot_be_used_is_named(
    path: str, value: Any, told: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refusal(file, with_value(path, value), capsys)


def test_what_is_no_number_in_a_config_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "spec.model.config" in refusal(file, with_value("model.config.hidden_size", NAN), capsys)


def test_a_model_that_is_nowhere_known_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(file, with_value("model", {"id": "nobody/knows-this"}), capsys)
    assert error.startswith("spec.model: ")
    assert "config" in error


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no document"),
        ("# nothing\n---\n---\n", "holds no document"),
        ("a: [", "line 2: no YAML"),
        ("3", "holds a int, not an object with apiVersion and kind"),
        ("[1]", "holds a list, not an object with apiVersion and kind"),
        ("a: &a [*a]", "is nested without end"),
        ("&a {kind: List, items: [*a]}", "is nested without end"),
        ("kind: InferenceInstance\nspec: {}", "apiVersion: null is not allowed; allowed: inferplan.dev/v1alpha1"),
        ("apiVersion: inferplan.dev/v1alpha1\nkind: InferenceInstance", "spec: is missing"),
        ("apiVersion: inferplan.dev/v1alpha1\nkind: InferencInstance", 'did you mean "InferenceInstance"?'),
    ],
)
def test_a_file_that_holds_nothing_of_use_is_one_line(
    content: str, told: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refusal(file, content, capsys)


def test_aliases_that_multiply_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    levels = [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 12)]
    bomb = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *levels])  # 9^12 values
    assert "holds more than 1,000,000 values" in refusal(file, bomb, capsys)


def test_a_file_that_is_far_too_large_is_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(file, "#" * (16 * 1024**2 + 1), capsys) == "larger than 16 MiB"


def test_a_file_that_is_no_text_is_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(b"\xff\xfe")
    assert main(["estimate", "-f", str(file), "-o", "jsonl"]) == 2
    assert json.loads(capsys.readouterr().out) == {"error": f"{file}: no UTF-8 text"}


def test_a_file_that_is_not_there_does_not_keep_others_from_being_read(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(yaml.safe_dump(document(SPEC)), encoding="utf-8")
    gone = tmp_path / "gone.yaml"
    assert main(["estimate", "-f", str(gone), "-f", str(tmp_path), "-f", str(file), "-o", "jsonl"]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0] == {"error": f"{gone}: No such file or directory"}
    assert found[1] == {"error": f"{tmp_path}: Is a directory"}
    assert found[2]["memory"]["kvCacheTokens"] > 0


def test_files_without_an_instance_end_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", encoding="utf-8")
    assert main(["estimate", "-f", str(file), "-o", "jsonl"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "inferplan estimate: no file holds an InferenceInstance (found: ConfigMap)\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch", "0"], "argument --batch: "),
        (["--batch", "nan"], "must be a whole number from 1 to 1000000"),
        (["--input", "-1"], "argument --input: "),
        (["--output", "1000000000"], "must be a whole number from 1 to 100000000"),
        (["-o", "xml"], "choose from"),
        (["--estimator", "stepz"], 'is not installed, did you mean "steps"?; there are: steps'),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(
    words: Sequence[str], told: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(yaml.safe_dump(document(SPEC)), encoding="utf-8")
    assert main(["estimate", "-f", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
