"""`inferplan args lint`: what a release makes of its arguments, from a command line and from manifests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inferplan.cli import main

VLLM = ["args", "lint", "--engine", "vllm", "--version", "0.33.0"]
MANIFEST = """\
kind: Deployment
metadata: {name: llama}
spec:
  template:
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.33.0
          args:
            - meta-llama/Llama-3.1-8B-Instruct
            - --max-num-seqs=16
            - --swap-space
            - "4"
---
kind: StatefulSet
metadata: {name: mistral}
spec:
  template:
    spec:
      containers:
        - name: server
          image: vllm/vllm-openai:v0.33.0
          command: [bash, -c]
          args:
            - >-
              vllm serve
              mistralai/Mistral-7B-Instruct-v0.3
              --max-num-seqs $BATCH
              --num-scheduler-steps 8
        - name: second
          image: vllm/vllm-openai:v0.33.0
          command:
            - bash
            - -c
            - |
              # start it
              exec vllm serve M \\
                --port 9000 \\
                --enable-prefix-caching=False
"""

Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes a file into the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "m.yaml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def test_arguments_without_a_finding_are_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VLLM, "--", "M", "--max-num-seqs", "64", "--no-enable-prefix-caching"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--swap-space", "4"],
            "error: --swap-space: vllm 0.33.0 has no --swap-space; it is known in 0.6.6 to 0.17.1",
        ),
        (["--nonsense"], "error: --nonsense: no known release of vllm has this flag"),
        (["--max-num", "5"], "error: --max-num is short for "),
        (["--enable-prefix-caching=False"], "error: --enable-prefix-caching "),
        (["--block-size", "many"], "error: --block-size "),
        (["--gpu-memory-utilization", "7"], "error: --gpu-memory-utilization "),
    ],
)
def test_what_keeps_the_server_from_starting_is_an_error(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*VLLM, "--", *arguments]) == 1
    assert capsys.readouterr().out.startswith(line)


def test_what_the_parser_takes_and_the_engine_does_not_is_found_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VLLM, "--", "M", "--max-num-batched-tokens", "64", "--max-num-seqs", "128"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("error: --max-num-")
    assert len(out.splitlines()) == 1


def test_a_start_command_before_the_arguments_is_looked_through(capsys: pytest.CaptureFixture[str]) -> None:
    for start in (["vllm", "serve", "M"], ["python3", "-m", "vllm.entrypoints.openai.api_server"], []):
        assert main([*VLLM, "--", *start, "--swap-space=4"]) == 1
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("error: --swap-space")
    assert main([*VLLM, "--", "sglang", "serve", "--model-path", "M"]) == 2
    assert "--engine vllm: the command starts sglang" in capsys.readouterr().err


@pytest.mark.parametrize(("level", "code"), [("error", 0), ("warning", 0), ("notice", 1)])
def test_findings_fail_from_the_level_that_is_asked_for(level: str, code: int) -> None:
    assert main([*VLLM, "--fail-on", level, "--", "M", "--kv-cache-dtype", "auto"]) == code


def test_a_version_between_known_ones_is_checked_by_the_nearest_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["args", "lint", "--engine", "vllm", "--version", "99.1.0", "--", "M", "--swap-space=4"]) == 1
    captured = capsys.readouterr()
    assert "note: vllm 99.1.0 is not known exactly: checked as 0.33.0, the nearest" in captured.err
    assert "vllm 0.33.0 (the nearest known to 99.1.0) has no --swap-space" in captured.out


def test_without_a_version_only_what_no_release_has_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["args", "lint", "--engine", "vllm", "--", "M", "--swap-space=4", "--nonsense"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("error: --nonsense")
    assert "the version is not known: only flags that no release has are found; give --version" in captured.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--engine", "vllm", "--version", "0.1.0", "--", "M"],
            "vllm 0.1.0 is older than all that are known; vllm: 0.6.6, ",
        ),
        (["--engine", "vllm", "--version", "latest", "--", "M"], '"latest" is no version; vllm: 0.6.6, '),
        (["--engine", "llama.cpp", "--", "M"], "invalid choice: 'llama.cpp' (choose from 'vllm', 'sglang', 'tgi')"),
        (["--", "M"], "--engine is needed to check arguments; allowed: vllm, sglang, tgi"),
        (["--engine", "vllm"], "give the engine's arguments behind --, or files with -f"),
        (["-f", "m.yaml", "--", "M"], "either arguments behind -- or files with -f, not both"),
        (["-f", "nothing.yaml"], "nothing.yaml: No such file or directory"),
        (["--engine", "vllm", "--fail-on", "any", "--", "M"], "invalid choice: 'any'"),
    ],
)
def test_what_cannot_be_checked_ends_with_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["args", "lint", *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_finding_in_a_manifest_has_the_line_of_its_word(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    text = MANIFEST
    lines = [line.strip() for line in text.splitlines()]
    assert main(["args", "lint", "-f", written(text)]) == 1
    captured = capsys.readouterr()
    found = [line.split(": ")[:3] for line in captured.out.splitlines()]
    assert found == [
        [f"m.yaml:{lines.index('- --swap-space') + 1}", "error", "--swap-space"],
        [f"m.yaml:{lines.index('--num-scheduler-steps 8') + 1}", "error", "--num-scheduler-steps"],
        [
            f"m.yaml:{lines.index('--enable-prefix-caching=False') + 1}",
            "error",
            '--enable-prefix-caching "False" takes no value',
        ],
    ]
    assert "StatefulSet/mistral: not checked, as the values are not known: --max-num-seqs" in captured.err


def test_only_one_engine_or_one_container_is_checked_where_that_is_asked_for(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(MANIFEST)
    assert main(["args", "lint", "-f", name, "--container", "second"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["args", "lint", "-f", name, "--engine", "sglang"]) == 2
    assert "no container runs sglang" in capsys.readouterr().err


def test_a_stated_version_counts_instead_of_the_image_s(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["args", "lint", "-f", written(MANIFEST), "--version", "0.8.5", "--container", "vllm"]) == 0
    assert "--swap-space is gone in vllm 0.18.1" in capsys.readouterr().out


def test_findings_are_a_list_in_json(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["args", "lint", "-f", written(MANIFEST), "--format", "json"]) == 1
    first = json.loads(capsys.readouterr().out)[0]
    reason = first.pop("reason")
    assert reason.startswith("vllm 0.33.0 has no --swap-space")
    assert first == {
        "file": "m.yaml",
        "line": 12,
        "kind": "Deployment",
        "name": "llama",
        "container": "vllm",
        "engine": "vllm",
        "version": "0.33.0",
        "severity": "error",
        "code": "Refused",
        "flag": "--swap-space",
        "key": "swap_space",
        "fix": {"swap_space": None},
    }
    assert main([*VLLM, "--format", "json", "--", "M"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_annotations_of_a_pull_request_are_escaped(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """docs.github.com/actions: %, line ends, and in properties : and , have codes."""
    args = '[M, --seed, "5%\\n::x,"]'
    text = f"kind: Pod\nspec: {{containers: [{{name: c, image: 'vllm/vllm-openai:v0.33.0', args: {args}}}]}}\n"
    assert main(["args", "lint", "-f", written(text, "a,b.yaml"), "--format", "github"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error file=a%2Cb.yaml,line=2,title=--seed (ValueRefused)::--seed ")
    assert '"5%25%0A::x,"' in line


def test_what_could_not_be_read_beside_the_findings_is_said(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = written(MANIFEST), written("a: [1\n", "bad.yaml")
    assert main(["args", "lint", "-f", good, "-f", bad]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "inferplan args: bad.yaml: line 2: no YAML: " in captured.err


def test_a_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["M", "--hf-token", "hf_secret", "hf_secret", "--hf-token=hf_secret"]
    assert main([*VLLM, "--fail-on", "notice", "--", *words]) == 1
    captured = capsys.readouterr()
    assert "hf_secret" not in captured.out + captured.err
    assert "***" in captured.out
