"""Our example manifests: what lies in tests/manifests is found, told apart, and edited without a trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.dialects.manifests import Site, not_a_manifest, sites
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_text import ListInsert, ListRemove, StringEdit, edit_text

FOLDER = Path(__file__).resolve().parents[2] / "manifests"
NOT_YAML = {"malformed.yaml", "helm-template.yaml"}
NO_MANIFESTS = {
    "helm-values-modelservice.yaml",
    "helm-values-production-stack.yaml",
    "json-patch.yaml",
    "kustomization.yaml",
}
FILES = sorted(path.name for path in FOLDER.iterdir())
MANIFESTS = [name for name in FILES if name not in NOT_YAML | NO_MANIFESTS]


def places(text: str) -> Iterator[tuple[int, Site]]:
    for number, document in enumerate(yaml.safe_load_all(text)):
        yield from ((number, site) for site in sites(document))


def lists(site: Site) -> dict[str, list[Any]]:
    return {key: site.container[key] for key in ("command", "args") if isinstance(site.container.get(key), list)}


@pytest.mark.parametrize("name", sorted(NOT_YAML))
def test_what_is_no_yaml_cannot_be_edited(name: str) -> None:
    text = (FOLDER / name).read_text()
    with pytest.raises(yaml.YAMLError):
        list(yaml.safe_load_all(text))
    assert isinstance(edit_text(text, [StringEdit(0, ("a",), 0, 0, "b")]), NotEditable)


@pytest.mark.parametrize("name", sorted(NO_MANIFESTS))
def test_what_is_no_manifest_says_so(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert all(not_a_manifest(document) for document in yaml.safe_load_all(text))
    assert not list(places(text))


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_example_holds_containers(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert list(places(text))
    assert not any(not_a_manifest(document) for document in yaml.safe_load_all(text))


@pytest.mark.parametrize("name", sorted(set(MANIFESTS) - {"anchors.yaml"}))
def test_an_edit_of_an_example_and_its_inverse_leave_no_trace(name: str) -> None:
    text = (FOLDER / name).read_text()
    for document, site in places(text):
        for key, words in lists(site).items():
            path = (*site.path, key)
            longer = edit_text(text, [ListInsert(document, path, len(words), ("--max-num-seqs", "64"))])
            assert isinstance(longer, str), longer
            assert edit_text(longer, [ListRemove(document, path, len(words), 2)]) == text
            for index, word in enumerate(words):
                _changed_and_back(text, document, (*path, index), word)


def _changed_and_back(text: str, document: int, path: tuple[str | int, ...], word: str) -> None:
    middle = len(word.rstrip()) // 2
    longer = edit_text(text, [StringEdit(document, path, middle, middle, "qu")])
    assert isinstance(longer, str), longer
    assert edit_text(longer, [StringEdit(document, path, middle, middle + 2, "")]) == text


def test_arguments_that_two_pods_share_are_not_edited() -> None:
    text = (FOLDER / "anchors.yaml").read_text()
    found = list(places(text))
    assert [site.name for _, site in found] == ["blue", "green"]
    for document, site in found:
        result = edit_text(text, [ListInsert(document, (*site.path, "args"), 0, ("x",))])
        assert isinstance(result, NotEditable)
        assert "shared by an anchor" in result.reason
