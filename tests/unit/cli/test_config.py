"""`inferplan config`: what manifests really run, and the files with other settings."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.cli import main

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
  namespace: serving
spec:
  template:
    spec:
      nodeSelector:
        cloud.google.com/gke-accelerator: nvidia-h100-80gb
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.33.0
          args:
            # the model
            - meta-llama/Llama-3.1-8B-Instruct
            - --max-num-seqs=16   # too low
            - --swap-space
            - "4"
            - --cpu-offload-gb=16.0
            - --kv-transfer-config={"kv_connector":"NixlConnector"}
            - --kv-cache-dtype=auto
          resources:
            limits:
              nvidia.com/gpu: 2
"""
SCRIPT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: tuning}
data: {BATCH: "48"}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: mistral}
spec:
  template:
    spec:
      containers:
        - name: server
          image: vllm/vllm-openai:v0.33.0
          command: ["/bin/bash", "-c"]
          args:
            - |
              # warm up
              exec vllm serve mistralai/Mistral-7B-Instruct-v0.3 \\
                --max-num-seqs $BATCH \\
                --dtype half
          env:
            - name: BATCH
              valueFrom: {configMapKeyRef: {name: tuning, key: BATCH}}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
NGINX = """\
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: "nginx:1.29"}]}}}
"""

Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes a file into the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "manifest.yaml") -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
        return name

    return write


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs `config -o json` and returns what it prints."""

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["config", *words, "-o", "json"]) == code
        loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
        return loaded

    return run


Document = Callable[..., dict[str, Any]]


def _values(container: dict[str, Any], origin: str) -> dict[str, Any]:
    return {key: entry["value"] for key, entry in container["settings"].items() if entry["origin"] == origin}


def test_every_setting_has_its_value_and_where_it_comes_from(written: Written, document: Document) -> None:
    found = document("-f", written(DEPLOYMENT))
    (container,) = found["containers"]
    assert (container["kind"], container["name"], container["container"]) == ("Deployment", "llama", "vllm")
    assert (container["engine"], container["version"], container["versionSource"]) == ("vllm", "0.33.0", "imageTag")
    assert container["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert container["path"] == "spec.template.spec.containers[0]"
    assert _values(container, "argument") == {
        "max_batch_size": 16,
        "swap_space": 4,
        "cpu_offload_gb": 16,
        "kv_transfer_config": {"kv_connector": "NixlConnector"},
        "kv_cache_dtype": "auto",
    }
    assert container["settings"]["max_batch_size"]["flag"] == "--max-num-seqs"
    assert found["unreadable"] == []


def test_defaults_are_those_of_the_release_on_the_gpu_that_the_pod_asks_for(
    written: Written, document: Document
) -> None:
    name = written(DEPLOYMENT)
    (container,) = document("-f", name)["containers"]
    assert container["accelerator"] == {"product": "NVIDIA-H100-80GB-HBM3", "count": 2, "memoryMib": 81_559}
    assert _values(container, "versionDefault")["max_num_batched_tokens"] == 8192
    (container,) = document("-f", name, "--gpu", "NVIDIA-L4", "--engine-version", "0.10.0")["containers"]
    assert (container["version"], container["versionSource"]) == ("0.10.0", "option")
    assert _values(container, "versionDefault")["max_num_batched_tokens"] == 2048


def test_all_adds_the_defaults_of_every_other_flag_of_the_release(written: Written, document: Document) -> None:
    name = written(DEPLOYMENT)
    (short,), (long,) = (document("-f", name, *more)["containers"] for more in ([], ["--all"]))
    added = long["settings"].keys() - short["settings"].keys()
    assert len(added) > 100
    assert long["settings"]["allowed_methods"] == {"value": ["*"], "origin": "versionDefault"}
    assert long["settings"]["max_logprobs"]["value"] == 20
    assert {key: long["settings"][key] for key in short["settings"]} == short["settings"]


def test_without_a_known_version_there_is_no_default_and_the_reason_is_said(
    written: Written, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(DEPLOYMENT.replace("v0.33.0", "latest"))
    (container,) = document("-f", name, "--all")["containers"]
    assert container["version"] is None
    assert container["versionReason"] == 'tag "latest" names no release'
    assert _values(container, "versionDefault") == {}
    assert main(["config", "-f", name]) == 0
    assert '(version not known: tag "latest" names no release)' in capsys.readouterr().out


def test_a_version_between_releases_names_the_one_that_it_is_read_as(written: Written, document: Document) -> None:
    (container,) = document("-f", written(DEPLOYMENT), "--engine-version", "0.14.0")["containers"]
    assert container["nearestRelease"] == "0.14.1"


def test_a_script_s_variable_comes_out_of_the_config_map_beside_it(written: Written, document: Document) -> None:
    (container,) = document("-f", written(SCRIPT))["containers"]
    assert container["settings"]["max_batch_size"] == {
        "value": 48,
        "origin": "argument",
        "flag": "--max-num-seqs",
        "variables": ["BATCH"],
    }
    assert (container["entry"], container["settings"]["dtype"]["value"]) == ("serve", "half")


def test_a_config_map_of_another_namespace_is_not_the_pod_s(written: Written, document: Document) -> None:
    other = SCRIPT.replace("{name: tuning}", "{name: tuning, namespace: b}", 1)
    other = other.replace("{name: mistral}", "{name: mistral, namespace: a}")
    found = document("-f", written(other))
    assert "max_batch_size" not in found["containers"][0]["settings"]
    (entry,) = found["unreadable"]
    assert entry["where"] == ("manifest.yaml: document 2: StatefulSet/mistral: containers[server] --max-num-seqs")
    assert (entry["code"], entry["key"]) == ("UnresolvedVariable", "max_batch_size")


def test_the_environment_and_mounted_files_are_origins_too(written: Written, document: Document) -> None:
    text = """\
kind: ConfigMap
metadata: {name: files}
data: {config.yaml: "max-num-seqs: 24\\n"}
---
kind: Pod
metadata: {name: p}
spec:
  volumes: [{name: files, configMap: {name: files}}]
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.33.0
      args: [M, --config, /etc/engine/config.yaml]
      volumeMounts: [{name: files, mountPath: /etc/engine}]
    - name: tgi
      image: ghcr.io/huggingface/text-generation-inference:3.3.4
      env: [{name: MODEL_ID, value: org/m}, {name: NUM_SHARD, value: "2"}]
"""
    vllm, tgi = document("-f", written(text))["containers"]
    assert vllm["settings"]["max_batch_size"] == {"value": 24, "origin": "configFile", "flag": "--max-num-seqs"}
    assert tgi["settings"]["tensor_parallel_size"] == {"value": 2, "origin": "environment", "flag": "NUM_SHARD"}
    assert tgi["model"] == "org/m"


def test_documents_of_the_same_name_are_listed_both(written: Written, document: Document) -> None:
    found = document("-f", written(f"{DEPLOYMENT}---\n{DEPLOYMENT}"))
    assert [entry["file"] for entry in found["containers"]] == [
        "manifest.yaml: document 1",
        "manifest.yaml: document 2",
    ]


def test_a_container_is_chosen_by_its_name_or_by_where_it_stands(
    written: Written, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(f"{DEPLOYMENT}---\n{SCRIPT}")
    for wanted in ("server", "StatefulSet/mistral/server"):
        (container,) = document("-f", name, "--container", wanted)["containers"]
        assert container["name"] == "mistral"
    assert main(["config", "-f", name, "--container", "nothing"]) == 2
    assert "there are: Deployment/llama/vllm, StatefulSet/mistral/server" in capsys.readouterr().err


def test_the_table_has_settings_first_and_defaults_behind_them(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written(DEPLOYMENT)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "Deployment serving/llama, container vllm  (manifest.yaml)",
        "  engine   vllm 0.33.0 (the image's tag)",
        "  model    meta-llama/Llama-3.1-8B-Instruct",
        "  started  by the image's entrypoint",
        "  GPU      2 x NVIDIA-H100-80GB-HBM3, 79.6 GiB each",
        "",
    ]
    assert lines[6].split() == ["KEY", "VALUE", "ORIGIN", "FLAG"]
    origins = [line.split()[2] for line in lines[7:] if line.startswith("  ") and "versionDefault" in line]
    first_default = next(number for number, line in enumerate(lines) if "versionDefault" in line)
    assert len(origins) > 5
    assert all("argument" not in line for line in lines[first_default : first_default + len(origins)])
    assert any(line.startswith("    error: --swap-space: vllm 0.33.0 has no --swap-space") for line in lines)


def test_yaml_says_the_same_as_json(written: Written, document: Document, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(SCRIPT)
    expected = document("-f", name)
    assert main(["config", "-f", name, "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == expected


SECRETS = """\
kind: Pod
metadata: {name: p}
spec:
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.33.0
      args:
        - org/model
        - --api-key=sk-very-secret
        - --hf-token
        - hf_alsosecret
        - --tokenizer=org/tokenizer
        - --served-model-name=$(PASSWORD)
        - --max-num-batched-tokens=4096
        - --kv-transfer-config={"kv_connector":"X","kv_connector_extra_config":{"redis_password":"pw-in-json"}}
        - --model-loader-extra-config={"url":"redis://user:pw-in-url@host:1"}
        - --swap-space=hf_alsosecret
      env: [{name: PASSWORD, value: pw-of-variable}]
"""


@pytest.mark.parametrize(
    "words", [["config", "-o", "table"], ["config", "-o", "json"], ["config", "-o", "yaml", "--all"]]
)
def test_no_output_shows_a_secret(words: list[str], written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "-f", written(SECRETS)]) == 0
    captured = capsys.readouterr()
    for secret in ("very-secret", "alsosecret", "pw-in-json", "pw-in-url", "pw-of-variable"):
        assert secret not in captured.out + captured.err
    assert "org/tokenizer" in captured.out
    assert "4096" in captured.out


def test_a_masked_value_is_three_stars(written: Written, document: Document) -> None:
    settings = document("-f", written(SECRETS))["containers"][0]["settings"]
    assert [settings[key]["value"] for key in ("api_key", "hf_token", "served_model_name")] == ["***"] * 3
    assert settings["kv_transfer_config"]["value"]["kv_connector_extra_config"] == {"redis_password": "***"}
    assert settings["model_loader_extra_config"]["value"] == {"url": "redis://***@host:1"}


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "NoContainers", "manifest.yaml: holds no document"),
        ("a: [1\n", "NotYaml", "manifest.yaml: line 2: no YAML: "),
        ("a: 1\n---\nb: c: d\n", "NotYaml", "manifest.yaml: line 3: no YAML: "),
        ("kind: Pod\nspec: {{ .Values.x }}\n", "HelmTemplate", "manifest.yaml: a template, of Helm or another tool"),
        ("{{ if .x }}\n---\n{{ end }}\n", "HelmTemplate", "manifest.yaml: a template, of Helm or another tool"),
        ("image: {tag: a}\nreplicaCount: 1\n", "HelmValues", "manifest.yaml: values for a Helm chart"),
        (SERVICE, "NoContainers", "manifest.yaml: Service/web holds no containers"),
        (NGINX, "NoEngine", "manifest.yaml: Deployment/web: no container runs an engine that is known"),
        ("- 1\n", "NoContainers", "manifest.yaml: a list, not an object"),
        ("kind: Kustomization\npatches: []\n", "PatchOnly", "manifest.yaml: a Kustomization"),
        (
            "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, args: [--port, '1']}]}\n",
            "PatchOnly",
            "manifest.yaml: Pod/p: containers[c].args: neither image nor command",
        ),
    ],
)
def test_with_nothing_to_read_the_command_ends_with_2_and_says_why(
    text: str, code: str, reason: str, written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(text)
    assert main(["config", "-f", name, "-o", "json"]) == 2
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["containers"] == []
    assert code in {entry["code"] for entry in found["unreadable"]}
    assert f"inferplan config: {reason}" in captured.err
    assert len(captured.err.splitlines()) == len(found["unreadable"])
    assert main(["config", "-f", name]) == 2
    assert capsys.readouterr().out == ""


def test_the_images_that_run_no_engine_are_named(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "-f", written(NGINX)]) == 2
    assert "images: nginx:1.29" in capsys.readouterr().err


def test_a_bad_file_among_good_ones_is_said_and_the_others_are_read(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = written(DEPLOYMENT), written("a: [1\n", "bad.yaml")
    for name in (bad, "missing.yaml"):
        assert main(["config", "-f", good, "-f", name, "-o", "json"]) == 2
        captured = capsys.readouterr()
        assert len(json.loads(captured.out)["containers"]) == 1
        assert f"inferplan config: {name}: " in captured.err


def test_a_document_that_is_no_yaml_does_not_hide_the_others_of_its_file(written: Written, document: Document) -> None:
    found = document("-f", written(f"{DEPLOYMENT}---\na: [1\n"))
    assert [entry["name"] for entry in found["containers"]] == ["llama"]
    assert [entry["code"] for entry in found["unreadable"]] == ["NotYaml"]


def test_a_folder_is_searched_and_what_is_no_manifest_in_it_is_only_said(
    written: Written, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    written(DEPLOYMENT, "all/llama.yaml")
    written(json.dumps(yaml.safe_load(NGINX), indent="\t"), "all/web.json")
    written("{{ x }}: [\n", "all/template.yml")
    written("not looked at", "all/README.md")
    found = document("-f", "all")
    assert [entry["file"] for entry in found["containers"]] == ["all/llama.yaml"]
    assert [(entry["where"], entry["code"]) for entry in found["unreadable"]] == [("all/template.yml", "HelmTemplate")]
    written("", "none/README.md")
    assert main(["config", "-f", "none"]) == 2
    assert "none: a folder without *.yaml, *.yml or *.json" in capsys.readouterr().err


def test_json_and_lists_are_read_too(written: Written, document: Document) -> None:
    deployment = yaml.safe_load(DEPLOYMENT)
    name = written(json.dumps({"kind": "List", "items": [deployment]}, indent="\t"), "list.json")
    (container,) = document("-f", name)["containers"]
    assert container["path"] == "items[0].spec.template.spec.containers[0]"


def test_standard_input_is_a_file(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(DEPLOYMENT))
    assert document("-f", "-")["containers"][0]["file"] == "-"


def test_a_setting_is_changed_and_every_other_byte_stays(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    text = DEPLOYMENT.replace("\n", "\r\n")
    assert main(["config", "-f", written(text), "--set", "max_batch_size=64", "--unset", "swap_space"]) == 0
    expected = text.replace("--max-num-seqs=16 ", "--max-num-seqs=64 ")
    expected = expected.replace('            - --swap-space\r\n            - "4"\r\n', "")
    assert capsys.readouterr().out == expected


def test_a_change_can_be_shown_as_a_diff(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--set", "maxBatchSize=64", "--set", "enable-prefix-caching=false", "-o", "diff"]
    assert main(["config", "-f", written(DEPLOYMENT), *words]) == 0
    diff = capsys.readouterr().out
    assert diff.startswith("--- a/manifest.yaml\n+++ b/manifest.yaml\n@@ ")
    assert [line for line in diff.splitlines()[2:] if line[0] in "+-"] == [
        "-            - --max-num-seqs=16   # too low",
        "+            - --max-num-seqs=64   # too low",
        "+            - --no-enable-prefix-caching",
    ]


def test_a_file_without_a_last_line_end_has_a_diff_that_says_so(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(yaml.safe_load(DEPLOYMENT), indent=1)
    assert main(["config", "-f", written(text, "a.json"), "--set", "max_batch_size=64", "-o", "diff"]) == 0
    diff = capsys.readouterr().out
    assert '-       "--max-num-seqs=16",\n+       "--max-num-seqs=64",\n' in diff
    assert "No newline" not in diff or diff.endswith("\\ No newline at end of file\n")


def test_in_a_script_the_word_is_changed_and_the_script_stays(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written(SCRIPT), "--set", "dtype=bfloat16", "--set", "--block-size=32"]) == 2
    assert "usage" in capsys.readouterr().err  # argparse takes a value that begins with a dash only behind =
    assert main(["config", "-f", "manifest.yaml", "--set", "dtype=bfloat16", "--set=--block-size=32"]) == 0
    assert capsys.readouterr().out == SCRIPT.replace(
        "--dtype half\n", "--dtype bfloat16 \\\n                --block-size 32\n"
    )


def test_json_with_set_is_the_new_configuration(written: Written, document: Document) -> None:
    (container,) = document("-f", written(DEPLOYMENT), "--set", "max_batch_size=64")["containers"]
    assert container["settings"]["max_batch_size"]["value"] == 64


def test_a_change_of_nothing_is_said(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "-f", written(DEPLOYMENT), "--set", "max_batch_size=16", "-o", "diff"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "note: manifest.yaml: nothing changes" in captured.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "max_batch_size"], "--set max_batch_size: is not KEY=VALUE"),
        (["--set", "max_batch_sise=1"], 'did you mean "max_batch_size"?'),
        (["--set", "max_batch_size=x"], '"x" is not allowed; allowed: a whole number from 1'),
        (["--set", "gpu_memory_utilization=2"], "allowed: a number above 0 and up to 1"),
        (["--set", "seed=x"], '"x" is not allowed; allowed: a whole number'),
        (["--set", "enforce_eager=maybe"], "allowed: true or false"),
        (["--unset", "nonsense"], "--unset nonsense: unknown config key"),
        (["--set", "seed=1", "--unset", "seed"], "--unset seed: seed is set by --set as well"),
        (["-o", "diff"], "-o diff shows what --set and --unset change"),
        (["--engine-version", "newest"], '"newest" is no version such as 0.33.0'),
    ],
)
def test_a_change_that_is_none_ends_with_2(
    words: list[str], told: str, written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written(DEPLOYMENT), *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_what_cannot_be_edited_ends_with_2_and_says_what_to_write(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written(SCRIPT), "--set", "served_model_name=m", "--unset", "dtype"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("inferplan config: manifest.yaml: document 2: StatefulSet/mistral: ")
    assert lines[1:] == [
        "inferplan config: by hand: --served-model-name m",
        "inferplan config: by hand: take out --dtype",
    ]


def test_without_any_args_the_flag_to_add_is_told(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    text = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: 'vllm/vllm-openai:v0.33.0'}]}\n"
    assert main(["config", "-f", written(text), "--set", "max_batch_size=64"]) == 2
    assert "the container has no args; add them by hand: --max-num-seqs=64" in capsys.readouterr().err


def test_with_several_containers_one_has_to_be_chosen(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(f"{DEPLOYMENT}---\n{SCRIPT}")
    assert main(["config", "-f", name, "--set", "max_batch_size=64"]) == 2
    assert "choose with --container: Deployment/llama/vllm, StatefulSet/mistral/server" in capsys.readouterr().err
    assert main(["config", "-f", name, "--set", "max_batch_size=64", "--container", "vllm"]) == 0
    assert capsys.readouterr().out == f"{DEPLOYMENT}---\n{SCRIPT}".replace("max-num-seqs=16", "max-num-seqs=64")


def test_an_image_of_another_name_is_read_where_somebody_says_what_it_runs(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = (
        'kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: "corp/llm:7", args: [--max-num-seqs=8]}]}'
    )
    file = written(pod)
    assert main(["config", "-f", file]) == 2
    assert "--engine says what an image of another name runs" in capsys.readouterr().err
    assert main(["config", "-f", file, "--engine", "vllm", "-o", "json"]) == 0
    (container,) = json.loads(capsys.readouterr().out)["containers"]
    assert container["settings"]["max_batch_size"]["value"] == 8


def test_an_object_whose_controller_makes_the_containers_says_so(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written("kind: VLLMRuntime\nmetadata: {name: r}\nspec: {}\n")]) == 2
    assert "VLLMRuntime/r holds no containers: the production-stack operator makes" in capsys.readouterr().err


def test_a_change_with_which_the_server_would_not_start_is_told(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", written(DEPLOYMENT), "--set", "max_num_batched_tokens=1", "-o", "diff"]) == 0
    captured = capsys.readouterr()
    assert "with this change the server does not start: " in captured.err
    assert "+" in captured.out
