"""Whatever a file holds, `inferplan config` and `inferplan args lint` answer with an exit code and words."""

import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inferplan.cli import main

pytestmark = pytest.mark.timeout(120)

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["{{ .x }}", "$(A)", "${A:-1}", "sh", "vllm", "org/model", "\ud800", "\x1b[2J"]),
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "value", "spec", "kind", "args", "containers", "items"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
_WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("vllm", "serve", "M", "--max-num-seqs", "--max-num-seqs=16", "--api-key", "--config", "/c/a.yaml"),
                *("--kv-transfer-config", '{"a":1}', "--hf-overrides.a.b", "-O3", "-tp", "2", "--", "-", "$(A)", "$A"),
                *("--enable-prefix-caching=False", "--swap-space", "sglang", "&& vllm serve X", "if true; then", "fi"),
            ]
        ),
        _ANYTHING,
    ),
    max_size=8,
)
_CONTAINERS = st.fixed_dictionaries(
    {
        "name": st.just("c") | _ANYTHING,
        "image": st.sampled_from(["vllm/vllm-openai:v0.33.0", "vllm/vllm-openai", "lmsysorg/sglang:v0.5.23", "x"])
        | _ANYTHING,
    },
    optional={
        "command": st.sampled_from([["bash", "-c"], ["vllm", "serve"], "vllm"]) | _WORDS | _ANYTHING,
        "args": _WORDS | _ANYTHING,
        "env": st.lists(st.fixed_dictionaries({"name": st.just("A"), "value": _SCALARS}), max_size=2) | _ANYTHING,
        "envFrom": _ANYTHING,
        "volumeMounts": st.just([{"name": "v", "mountPath": "/c"}]) | _ANYTHING,
        "resources": _ANYTHING,
        "ports": _ANYTHING,
    },
)
_OBJECTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["Pod", "Deployment", "List", "InferenceService", "Model"]),
        "metadata": st.fixed_dictionaries({"name": st.just("n")}) | _ANYTHING,
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(_CONTAINERS, max_size=2) | _ANYTHING},
            optional={
                "nodeSelector": _ANYTHING,
                "affinity": _ANYTHING,
                "volumes": st.just([{"name": "v", "configMap": {"name": "m"}}]) | _ANYTHING,
            },
        ),
    },
    optional={"apiVersion": st.just("v1") | _ANYTHING, "items": _ANYTHING},
)
repeatable = settings(max_examples=100, derandomize=True, deadline=None)
_COMMANDS: Sequence[Sequence[str]] = (
    ("config",),
    ("config", "-o", "json", "--all"),
    ("config", "-o", "yaml"),
    ("config", "--set", "max_batch_size=64", "--unset", "port"),
    ("args", "lint", "--format", "github"),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests") / "manifest.yaml"


def _run(words: Sequence[str], file: Path) -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*words, "-f", str(file)])
    assert code in {0, 1, 2}
    assert "Traceback" not in err.getvalue()
    assert code == 0 or out.getvalue() or err.getvalue()
    out.getvalue().encode()  # a terminal can print it
    return code, out.getvalue()


def _all_commands(file: Path) -> None:
    for words in _COMMANDS:
        code, out = _run(words, file)
        if "json" in words:
            found = json.loads(out)
            assert found.keys() == {"containers", "unreadable"}
            assert found["containers"] or code == 2
            assert all(entry["where"].startswith(str(file)) for entry in found["unreadable"])


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@repeatable
def test_any_bytes(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    _all_commands(file)


@given(content=_ANYTHING)
@repeatable
def test_any_json(content: Any, file: Path) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
    _all_commands(file)


@given(contents=st.lists(_OBJECTS, min_size=1, max_size=2))
@repeatable
def test_anything_that_looks_like_a_manifest(contents: list[Any], file: Path) -> None:
    file.write_bytes(yaml.safe_dump_all(contents).encode("utf-8", "backslashreplace"))
    _all_commands(file)


@given(content=_OBJECTS)
@repeatable
def test_anything_that_looks_like_a_manifest_in_json(content: Any, file: Path) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
    _all_commands(file)


@given(words=st.lists(_SCALARS.map(str) | st.sampled_from(["--max-num-seqs", "--", "-x=1"]), max_size=6))
@repeatable
def test_any_words_behind_the_dashes(words: list[str]) -> None:
    for version in ("0.33.0", "0.8.5", "99"):
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            assert main(["args", "lint", "--engine", "vllm", "--version", version, "--", *words]) in {0, 1}
