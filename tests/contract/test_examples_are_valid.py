"""The examples in deploy/: every one is read by the models, and says what it is for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.api.apply import ApplyMode
from inferplan.api.instance import InstanceSpec
from inferplan.api.kinds import API_VERSION, INFERENCE_INSTANCE
from inferplan.api.values import Engine

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"
PATHS = sorted(EXAMPLES.glob("*.yaml"))


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def spec(name: str) -> InstanceSpec:
    return InstanceSpec.from_kube(document(EXAMPLES / f"{name}.yaml")["spec"])


def test_there_is_one_example_for_each_use() -> None:
    assert [path.stem for path in PATHS] == ["approve", "git-ops", "sglang", "slo", "spec-only", "tgi", "vllm"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_is_an_instance_that_the_models_read(path: Path) -> None:
    found = document(path)
    assert (found["apiVersion"], found["kind"]) == (API_VERSION, INFERENCE_INSTANCE.kind)
    assert set(found["metadata"]) == {"name"}, "the namespace is the reader's choice"
    InstanceSpec.from_kube(found["spec"])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_begins_with_what_it_is_for(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# ")


def test_the_examples_show_every_engine() -> None:
    assert {spec(path.stem).engine for path in PATHS} == set(Engine)


def test_only_two_examples_have_plans_applied() -> None:
    modes = {path.stem: spec(path.stem).apply.mode for path in PATHS}
    applied = {name: mode for name, mode in modes.items() if mode is not ApplyMode.OFF}
    assert applied == {"approve": ApplyMode.APPROVE, "git-ops": ApplyMode.GITOPS}


def test_the_tgi_example_says_that_the_engine_is_at_its_end() -> None:
    assert "end-of-life" in (EXAMPLES / "tgi.yaml").read_text("utf-8")


def test_the_spec_only_example_names_no_workload() -> None:
    assert spec("spec-only").target_ref is None
    assert spec("spec-only").current_config
