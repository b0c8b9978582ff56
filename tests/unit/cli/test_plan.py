"""`inferplan plan` on files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.api.plan import PlanSpec
from inferplan.cli import main

INSTANCE: dict[str, Any] = {
    "apiVersion": "inferplan.dev/v1alpha1",
    "kind": "InferenceInstance",
    "metadata": {"name": "llama-8b", "namespace": "serving"},
    "spec": {
        "engine": "vllm",
        "targetRef": {"kind": "Deployment", "name": "llama-8b"},
        "model": {"configMapRef": {"name": "llama-8b-config"}},
    },
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llama-8b", "namespace": "serving", "generation": 3},
    "spec": {
        "template": {
            "spec": {
                "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
                "containers": [
                    {
                        "name": "vllm",
                        "image": "vllm/vllm-openai:v0.33.0",
                        "args": [
                            "--model",
                            "meta-llama/Llama-3.1-8B-Instruct",
                            "--max-num-seqs=32",
                            "--max-model-len",
                            "4096",
                        ],
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                    }
                ],
            }
        }
    },
}
MODEL_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
CONFIG_MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "llama-8b-config", "namespace": "serving"},
    "data": {"config.json": json.dumps(MODEL_CONFIG)},
}
SPEC_ONLY: dict[str, Any] = {
    **INSTANCE,
    "spec": {"engine": "vllm", "currentConfig": {"max_batch_size": 32, "quantization": "none"}},
}
CAPPED = """\
vllm:num_requests_running{engine="0"} 32.0
vllm:num_requests_waiting{engine="0"} 12.0
vllm:kv_cache_usage_perc{engine="0"} 0.3
vllm:num_preemptions_total{engine="0"} 0.0
vllm:cache_config_info{block_size="16",num_gpu_blocks="25000",engine="0"} 1.0
"""
FULL_CACHE = CAPPED.replace("} 32.0", "} 20.0").replace("} 0.3", "} 1.0")

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes documents, or text, to a file and gives its name."""

    def written(*documents: Any, name: str = "objects.yaml") -> str:
        texts = [entry if isinstance(entry, str) else yaml.safe_dump(entry) for entry in documents]
        file = tmp_path / name
        file.write_text("---\n".join(texts), encoding="utf-8")
        return str(file)

    return written


def spec_with(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**document, "spec": {**document["spec"], **fields}}


def window(**fields: str) -> dict[str, Any]:
    return {"schedule": "0 2 * * *", "durationSeconds": 3600, **fields}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["plan", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_capped_scheduler_is_explained_with_numbers(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    objects, scrape = write(INSTANCE, DEPLOYMENT, CONFIG_MAP), write(CAPPED, name="scrape.txt")
    code, out, err = run(capsys, "-f", objects, "--metrics", scrape)
    assert (code, err) == (0, "")
    for told in (
        "InferenceInstance serving/llama-8b",
        "vllm 0.33.0",
        "meta-llama/Llama-3.1-8B-Instruct",
        "1 x NVIDIA-H100-80GB-HBM3, 79.6 GiB each",
        "Deployment llama-8b, container vllm",
        "SchedulerCapped (high): 32 requests run, of 32 that may, while 12 wait.",
        "1. Raise the running requests from 32 to 64  [batching_0]",
        "max_batch_size: 32 → 64  (--max-num-seqs)",
        "gain        output 1.00 to 1.38 times today's",
        "between is not known: the lengths of requests are needed",
        "confidence  medium",
        "Memory per GPU",
        "kv cache                 48.8 GiB",
        "quantization: steps limit the instance, and neither the objective nor a missed target weighs speed",
    ):
        assert told in out


def test_a_declared_load_is_planned_for_as_an_estimate(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    traffic = {"concurrency": 96, "inputTokens": 1000, "outputTokens": 300}
    objects = write(spec_with(INSTANCE, workload=traffic), DEPLOYMENT, CONFIG_MAP)
    code, out, err = run(capsys, "-f", objects)
    assert (code, err) == (0, "")
    for told in (
        "Cannot be told: no metrics were given",
        "max_batch_size: 32 → 64  (--max-num-seqs)",
        "Estimated for the declared load, not measured: 32 requests run under a cap of 32 and 64 wait",
        "spec.workload = 96 requests in flight, 1,000 tokens in, 300 out, declared in spec.workload",
        "confidence  low (ruleOfThumb)",
    ):
        assert told in out
    without = write(spec_with(INSTANCE, workload={"concurrency": 96}), DEPLOYMENT, CONFIG_MAP)
    told = " ".join(run(capsys, "-f", without)[1].split())
    assert "Nothing to change" in told
    assert "nor can it be estimated for the declared load: spec.workload lacks inputTokens, outputTokens" in told


def test_a_full_cache_is_never_answered_with_a_larger_batch(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    objects, scrape = write(INSTANCE, DEPLOYMENT, CONFIG_MAP), write(FULL_CACHE, name="scrape.txt")
    code, out, _ = run(capsys, "-f", objects, "--metrics", scrape)
    assert code == 0
    assert "KvBound (high)" in out
    assert "kv_cache_dtype: auto → fp8" in out
    assert "max_batch_size" not in out
    assert "(KvBound)" in out  # why batching proposes nothing


def test_the_diff_shows_the_arguments(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    objects, scrape = write(INSTANCE, DEPLOYMENT, CONFIG_MAP), write(CAPPED, name="scrape.txt")
    code, out, _ = run(capsys, "-f", objects, "--metrics", scrape, "-o", "diff")
    assert code == 0
    assert '-- "--max-num-seqs=32"\n+- "--max-num-seqs=64"' in out


def test_nothing_to_change_gives_an_empty_diff(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), "-o", "diff")
    assert (code, out) == (0, "")
    assert "nothing to change" in err


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_the_object_is_as_it_would_be_written(output: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    objects, scrape = write(INSTANCE, DEPLOYMENT, CONFIG_MAP), write(CAPPED, name="scrape.txt")
    code, out, _ = run(capsys, "-f", objects, "--metrics", scrape, "-o", output)
    document = yaml.safe_load(out)
    spec = PlanSpec.from_kube(document["spec"])
    assert code == 0
    assert (document["kind"], document["metadata"]["namespace"]) == ("OptimizationPlan", "serving")
    assert document["metadata"]["name"] == f"llama-8b-{spec.plan_hash[:8]}"
    assert spec.priority_order == ("batching_0",)
    assert spec.target is not None
    assert spec.target.generation == 3
    assert spec.patch is not None
    assert spec.patch.applicable


def test_the_time_of_the_page_is_the_time_of_the_plan(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    scrape = write("# scraped-at: 2026-03-01T12:00:00Z\n" + CAPPED, name="scrape.txt")
    _, out, _ = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), "--metrics", scrape, "-o", "json")
    assert json.loads(out)["spec"]["observedAt"] == "2026-03-01T12:00:00Z"


def test_two_pages_give_a_preemption_rate(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(FULL_CACHE, name="first.txt")
    second = write(FULL_CACHE.replace('total{engine="0"} 0.0', 'total{engine="0"} 30.0'), name="second.txt")
    objects = write(INSTANCE, DEPLOYMENT, CONFIG_MAP)
    _, out, _ = run(capsys, "-f", objects, "--metrics", first, "--metrics", second, "--interval", "60")
    assert "0.5 preemptions per second" in out  # 30 in 60 s


def test_pages_of_several_pods_carry_their_names(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    later = FULL_CACHE.replace('total{engine="0"} 0.0', 'total{engine="0"} 30.0')
    pages = {"a-1": FULL_CACHE, "a-2": later, "b-1": FULL_CACHE, "b-2": later.replace(" 30.0", " 90.0")}
    named = (f"pod-{name[0]}={write(page, name=f'{name}.txt')}" for name, page in pages.items())
    files = [word for file in named for word in ("--metrics", file)]
    code, out, err = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), *files, "--interval", "60")
    assert (code, err) == (0, "")
    assert "1 preemptions per second" in out  # 0.5 and 1.5 of two pods


def test_pages_with_and_without_a_pods_name_are_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    plain, other = write(CAPPED, name="plain.txt"), write(CAPPED, name="other.txt")
    (line,) = bad(capsys, "-f", write(SPEC_ONLY), "--metrics", plain, "--metrics", f"pod-a={other}")
    assert line == f"--metrics {plain}: other pages are named (NAME=FILE), so each needs its pod's name"


def test_a_file_whose_name_looks_like_a_pods_is_a_file(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write(CAPPED, name="run=1.txt")
    code, out, _ = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), "--metrics", "run=1.txt")
    assert code == 0
    assert "max_batch_size: 32 → 64" in out
    assert bad(capsys, "-f", write(SPEC_ONLY), "--metrics", "run=2.txt") == ["2.txt: No such file or directory"]


def test_pages_of_too_short_a_time_measure_nothing(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write(CAPPED, name="first.txt"), write(CAPPED, name="second.txt")
    objects = write(INSTANCE, DEPLOYMENT, CONFIG_MAP)
    _, out, _ = run(capsys, "-f", objects, "--metrics", first, "--metrics", second, "--interval", "9")
    assert "only 9 s of data, at least 10 s are needed" in out


def test_a_page_of_several_models_is_read_for_the_one_that_is_served(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    served = CAPPED.replace("{", '{model_name="meta-llama/Llama-3.1-8B-Instruct",')
    page = write(served + FULL_CACHE.replace("{", '{model_name="b",'), name="scrape.txt")
    code, out, _ = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), "--metrics", page)
    assert code == 0
    assert "max_batch_size: 32 → 64" in out


def test_a_live_instance_without_measurements_gets_no_proposal(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, CONFIG_MAP), "--fail-on", "any")
    assert code == 0
    assert "Nothing to change" in out
    assert "Cannot be told: no metrics were given" in out


def test_an_instance_without_a_workload_gets_rules_of_thumb(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "-f", write(SPEC_ONLY))
    assert code == 0
    assert "[quantization_0]" in out
    assert "[batching_1]" in out
    assert "low (ruleOfThumb)" in out
    assert "In all: " in out


@pytest.mark.parametrize(
    ("document", "level", "code"),
    [
        (SPEC_ONLY, "any", 1),
        (SPEC_ONLY, "high", 1),
        (spec_with(SPEC_ONLY, constraints={"optimizers": ["batching"]}), "high", 0),  # its impact is medium
        (spec_with(SPEC_ONLY, constraints={"optimizers": ["batching"]}), "any", 1),
        (spec_with(SPEC_ONLY, constraints={"optimizers": ["kvCache"]}), "any", 0),
    ],
)
def test_findings_decide_the_exit_code(
    document: Any, level: str, code: int, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "-f", write(document), "--fail-on", level)[0] == code


def test_documents_may_lie_in_several_files_and_in_lists(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [DEPLOYMENT, CONFIG_MAP]}
    files = [write(INSTANCE, name="instance.json"), write(listed, name="cluster.yaml")]
    code, out, _ = run(capsys, "-f", files[0], "-f", files[1], "--metrics", write(CAPPED, name="scrape.txt"))
    assert code == 0
    assert "max_batch_size: 32 → 64" in out


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Input:
        def read(self) -> str:
            return yaml.safe_dump(SPEC_ONLY)

    monkeypatch.setattr("sys.stdin", Input())
    code, out, _ = run(capsys, "-f", "-")
    assert code == 0
    assert "[batching_1]" in out


def test_what_is_left_out_is_noted(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    _, _, err = run(capsys, "-f", write(SPEC_ONLY, service, DEPLOYMENT))
    assert "document 2: Service is not needed and left out" in err
    assert "document 3: Deployment llama-8b is left out: spec.targetRef does not name it" in err
    _, _, err = run(capsys, "-f", write(INSTANCE))
    assert "spec.targetRef: Deployment llama-8b is in none of the files" in err
    assert "spec.model.configMapRef: ConfigMap llama-8b-config is in none of the files" in err


def test_what_belongs_to_another_namespace_is_not_taken(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = {**DEPLOYMENT, "metadata": {"name": "llama-8b", "namespace": "other"}}
    _, out, err = run(capsys, "-f", write(INSTANCE, elsewhere))
    assert "is in none of the files" in err
    assert "container vllm" not in out


def node(name: str, product: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product, **labels}},
    }


def without_selector() -> dict[str, Any]:
    template = {"spec": {**DEPLOYMENT["spec"]["template"]["spec"], "nodeSelector": {}}}
    return {**DEPLOYMENT, "spec": {"template": template}}


def test_a_node_tells_the_gpu(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "-f", write(INSTANCE, without_selector(), node("n", "NVIDIA-L4")))
    assert "1 x NVIDIA-L4" in out


def test_the_node_selector_chooses_among_nodes(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [node("a", "NVIDIA-L4"), node("b", "NVIDIA-H100-80GB-HBM3")]
    _, out, _ = run(capsys, "-f", write(INSTANCE, DEPLOYMENT, *nodes))
    assert "1 x NVIDIA-H100-80GB-HBM3" in out


def bad(capsys: pytest.CaptureFixture[str], *words: str) -> Sequence[str]:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if " note: " not in line]
    assert all(line.startswith("inferplan plan: ") for line in lines)
    return [line.removeprefix("inferplan plan: ") for line in lines]


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        (("a: [1",), ": no YAML: "),
        (("",), "holds no document"),
        (("- 1\n- 2\n",), "holds a list, not an object with apiVersion and kind"),
        (("a: 2026-99-99\n",), "cannot be read as YAML"),
        ((DEPLOYMENT,), "no file holds an InferenceInstance (found: Deployment)"),
        ((INSTANCE, INSTANCE), "give one InferenceInstance, not 2"),
        (({**INSTANCE, "apiVersion": "inferplan.dev/v1"},), 'apiVersion: "inferplan.dev/v1" is not allowed; allowed:'),
        (({**INSTANCE, "metadata": {}},), "metadata.name: null must be lower-case"),
        (({**INSTANCE, "metadata": {"name": "A_b"}},), 'metadata.name: "A_b" must be lower-case'),
        (({**INSTANCE, "spec": None},), "spec: is missing"),
        (({**INSTANCE, "spec": {"engine": "vllm"}},), "spec: give targetRef"),
        ((spec_with(INSTANCE, engine="ollama"),), 'spec.engine: "ollama" is not allowed; allowed: vllm, sglang, tgi'),
        ((spec_with(INSTANCE, engineVersion=0.33),), "spec.engineVersion: 0.33 must be text; put it in quotes"),
        ((spec_with(INSTANCE, targetref={}),), 'spec.targetref: unknown field, did you mean "targetRef"?'),
        ((spec_with(INSTANCE, targetRef={"name": "a", "kind": "Pod"}),), "allowed: Deployment, StatefulSet"),
        (
            (spec_with(INSTANCE, currentConfig={"maxBatch": 1}),),
            'spec.currentConfig.maxBatch: unknown config key "maxBatch"',
        ),
        ((spec_with(INSTANCE, currentConfig={"max_batch_size": -1}),), "-1 must be a whole number from 1"),
        ((spec_with(INSTANCE, constraints={"forbid": ["x"]}),), 'spec.constraints.forbid[0]: unknown config key "x"'),
        ((spec_with(INSTANCE, apply={"mode": "GitOps"}),), "spec.apply: mode GitOps needs git"),
        (
            (spec_with(INSTANCE, apply={"maintenanceWindows": [window(), window(schedule="0 0 30 2 *")]}),),
            'spec.apply.maintenanceWindows[1].schedule: "0 0 30 2 *" is no time that comes: minute, hour, day of month',
        ),
        (
            (spec_with(INSTANCE, apply={"maintenanceWindows": [window(timeZone="Mars/Base")]}),),
            'spec.apply.maintenanceWindows[0].timeZone: "Mars/Base" is no IANA time zone, such as "Europe/Berlin"',
        ),
        (
            (spec_with(INSTANCE, apply={"git": {"repository": "https://git.example.org/a", "path": "a.yaml"}}),),
            "spec.apply.git.forge: strategy PullRequest needs it where the host is neither github.com nor gitlab.com",
        ),
        (
            (spec_with(INSTANCE, model={"config": {}, "configMapRef": {"name": "a"}}),),
            "spec.model: the config.json is given inline and by reference",
        ),
        ((spec_with(INSTANCE, slo=[{"metric": "p", "percentile": 5}]),), "allowed: ttft, itl, tpot, e2e"),
        ((INSTANCE, {**CONFIG_MAP, "data": {"a": "b"}}), 'data has no key "config.json" with text (there are: a)'),
        ((INSTANCE, {**CONFIG_MAP, "data": {"config.json": "{"}}), "data.config.json: no JSON"),
        ((INSTANCE, {**CONFIG_MAP, "data": {"config.json": "[]"}}), "holds a list, not a config.json"),
        (
            (INSTANCE, without_selector(), node("a", "NVIDIA-L4"), node("b", "Tesla-T4")),
            "nodes a, b have different GPUs",
        ),
        ((spec_with(INSTANCE, engine="sglang"), DEPLOYMENT), 'container "vllm" runs vllm, but spec.engine is sglang'),
        (
            (spec_with(INSTANCE, targetRef={"name": "llama-8b", "container": "main"}), DEPLOYMENT),
            'spec.targetRef.container "main" is none of its containers: vllm',
        ),
        ((INSTANCE, {**DEPLOYMENT, "spec": []}), "no container is seen to run vllm"),
        ((INSTANCE, {**DEPLOYMENT, "spec": "x"}), "no Deployment that can be read"),
    ],
)
def test_bad_documents_are_named(documents: Any, told: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(*documents)
    lines = bad(capsys, "-f", file)
    assert any(told in line for line in lines), lines
    assert any(file in line or line.startswith(("no file", "nodes")) for line in lines)


def test_every_problem_of_a_spec_is_named_with_its_document(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    broken = spec_with(INSTANCE, engine="x", objective="y")
    lines = bad(capsys, "-f", write(DEPLOYMENT, broken))
    assert len(lines) == 2
    assert all(": document 2: spec." in line for line in lines)


def test_a_missing_file_is_named(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.yaml")
    assert bad(capsys, "-f", missing) == [f"{missing}: No such file or directory"]
    assert bad(capsys, "-f", write(SPEC_ONLY), "--metrics", missing) == [f"{missing}: No such file or directory"]


def test_a_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"\xff\xfe\x00")
    assert bad(capsys, "-f", str(file)) == [f"{file}: no UTF-8 text"]


@pytest.mark.parametrize(
    ("pages", "words", "told"),
    [
        (["<html>"], [], "Prometheus text format"),
        ([CAPPED, CAPPED], [], "give --interval"),
        ([CAPPED] * 513, [], "at most 512 files, not 513"),
        ([CAPPED[:-1]], [], "its last line has no end"),
        ([CAPPED + CAPPED.replace("{", '{model_name="a",') + CAPPED.replace("{", '{model_name="b",')], [], '"a", "b"'),
        ([CAPPED, CAPPED], ["--interval", "-5"], "at least 1 s younger"),
    ],
)
def test_bad_pages_are_named(
    pages: list[str], words: list[str], told: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [word for n, page in enumerate(pages) for word in ("--metrics", write(page, name=f"{n}.txt"))]
    (line,) = bad(capsys, "-f", write(SPEC_ONLY), *files, *words)
    assert told in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prometheus", "localhost:9090"], "is no URL"),
        (["--prometheus", "http://localhost:9090"], "--prometheus needs spec.metrics.selector"),
        (["-o", "diff"], "-o diff needs the workload"),
    ],
)
def test_options_that_cannot_be_followed_are_named(
    words: list[str], told: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = bad(capsys, "-f", write(SPEC_ONLY), *words)
    assert told in line


def shell(*words: str) -> dict[str, Any]:
    container = {"name": "vllm", "image": "vllm/vllm-openai:v0.33.0", "command": ["/bin/sh", *words]}
    return {**DEPLOYMENT, "spec": {"template": {"spec": {"containers": [container]}}}}


def test_a_script_that_is_not_there_is_noted_and_left_to_a_person(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "-f", write(INSTANCE, shell("/start.sh"), CONFIG_MAP))
    assert code == 0
    assert "note: containers[vllm].command: /bin/sh runs /start.sh, whose content is not known" in err
    assert "Nothing to change" in out


def known(version: str | None = "0.33.0") -> dict[str, Any]:
    settings = {
        "max_batch_size": 32,
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
        "kv_cache_dtype": "auto",
        "max_num_batched_tokens": 8192,
    }
    return spec_with(INSTANCE, currentConfig=settings, engineVersion=version)


def test_a_script_is_read_and_edited_where_it_stands(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    objects = write(known(), shell("-c", "exec vllm serve m --max-num-seqs 32"), CONFIG_MAP)
    scrape = write(CAPPED, name="scrape.txt")
    assert "max_batch_size: 32 → 64" in run(capsys, "-f", objects, "--metrics", scrape)[1]
    code, out, err = run(capsys, "-f", objects, "--metrics", scrape, "-o", "diff")
    assert (code, err) == (0, "")
    assert '+- "exec vllm serve m --max-num-seqs 64"\n' in out


def test_a_change_that_only_a_person_can_make_is_noted_instead_of_a_diff(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = write(known(), shell("/start.sh"), CONFIG_MAP)
    scrape = write(CAPPED, name="scrape.txt")
    assert "max_batch_size: 32 → 64" in run(capsys, "-f", objects, "--metrics", scrape)[1]
    code, out, err = run(capsys, "-f", objects, "--metrics", scrape, "-o", "diff")
    assert (code, out) == (0, "")
    assert "the change has to be made by hand: " in err
