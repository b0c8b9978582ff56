"""The committed CRDs are what the models give."""

from pathlib import Path

import pytest

from inferplan.api.crd import render

CRDS = Path(__file__).resolve().parents[2] / "crds"


@pytest.mark.parametrize("name", sorted(render()))
def test_the_committed_file_is_what_the_models_give(name: str) -> None:
    assert (CRDS / name).read_text("utf-8") == render()[name], "run: make crds"


def test_no_other_definition_lies_in_the_folder() -> None:
    assert {path.name for path in CRDS.glob("*.yaml")} == {*render(), "kustomization.yaml"}


def test_the_kustomization_lists_every_definition() -> None:
    text = (CRDS / "kustomization.yaml").read_text("utf-8")
    assert [name for name in render() if f"- {name}" not in text] == []
