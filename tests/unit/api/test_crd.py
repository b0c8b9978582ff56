"""The documents that `make crds` writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferplan.api.crd import HEADER, crd_documents, main, render
from inferplan.api.kinds import KINDS

TEXT_OF_ITS_OWN_LENGTH = {"date-time"}
SCHEMAS = {
    document["spec"]["names"]["kind"]: document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for document in crd_documents()
}


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from walk(schema[name], f"{path}[]")


NODES = [
    node
    for kind, schema in SCHEMAS.items()
    for part in ("spec", "status")
    for node in walk(schema["properties"][part], f"{kind}.{part}")
]


def test_there_is_one_document_for_each_kind_in_order() -> None:
    assert [document["metadata"]["name"] for document in crd_documents()] == [kind.crd_name for kind in KINDS]


def test_names_scope_and_status_are_what_the_contract_says() -> None:
    instance, plan = (document["spec"] for document in crd_documents())
    assert instance["names"]["shortNames"] == ["ii", "infinst"]
    assert plan["names"]["shortNames"] == ["oplan"]
    for spec in (instance, plan):
        assert spec["group"] == "inferplan.dev"
        assert spec["scope"] == "Namespaced"
        assert spec["names"]["categories"] == ["inferplan"]
        assert spec["versions"][0]["subresources"] == {"status": {}}


def test_columns_are_what_the_contract_says() -> None:
    def shown(document: dict[str, Any], priority: int) -> list[str]:
        columns = document["spec"]["versions"][0]["additionalPrinterColumns"]
        return [column["name"].upper() for column in columns if column.get("priority", 0) == priority]

    instance, plan = crd_documents()
    assert shown(instance, 0) == ["MODEL", "ENGINE", "READY", "BOTTLENECK", "PLAN", "GAIN", "MODE", "AGE"]
    assert shown(plan, 0) == ["INSTANCE", "PHASE", "CHANGES", "IMPACT", "GAIN", "CONFIDENCE", "AGE"]
    assert shown(plan, 1) == ["RESTART", "RISK", "REALIZED"]


def test_every_field_is_bounded_so_that_rules_have_a_known_cost() -> None:
    bounds = {"string": "maxLength", "array": "maxItems"}
    unbounded = [
        path
        for path, node in NODES
        if (bound := bounds.get(node.get("type", ""))) is not None
        and bound not in node
        and "enum" not in node
        and node.get("format") not in TEXT_OF_ITS_OWN_LENGTH
    ]
    assert unbounded == []
    assert [path for path, node in NODES if "additionalProperties" in node and "maxProperties" not in node] == []


def test_every_named_field_has_a_description() -> None:
    assert [path for path, node in NODES if "description" not in node and not path.endswith("[]")] == []


def test_every_rule_has_a_message_for_people() -> None:
    entries = [
        entry
        for schema in SCHEMAS.values()
        for _, node in walk(schema, "")
        for entry in node.get("x-kubernetes-validations", ())
    ]
    assert all(len(entry["message"].split()) > 5 for entry in entries)


def test_a_plan_freezes_every_field_but_approval() -> None:
    properties = SCHEMAS["OptimizationPlan"]["properties"]["spec"]["properties"]

    def is_frozen(node: dict[str, Any]) -> bool:
        return any(entry["rule"] == "self == oldSelf" for entry in node.get("x-kubernetes-validations", ()))

    assert [name for name, node in properties.items() if not is_frozen(node)] == ["approval"]


def test_the_text_is_the_same_each_time_and_reads_back_as_the_document() -> None:
    assert render() == render()
    for text, document in zip(render().values(), crd_documents(), strict=True):
        assert text.startswith(HEADER)
        assert yaml.safe_load(text) == document
        assert "&id" not in text


def test_the_module_writes_the_files_into_a_folder(tmp_path: Path) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert {path.name: path.read_text("utf-8") for path in (tmp_path / "new").iterdir()} == render()


def test_the_module_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m inferplan.api.crd DIR\n"
