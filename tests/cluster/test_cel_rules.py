"""Every rule and bound of the committed CRDs on the real API server: what it accepts, what it says when not."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from tests.support.cel_cases import CASES, FULL_SPEC, PLAN_CASES, STARTS, Case, Document, changed
from tests.support.lab import CRDS, Cluster

GROUP_PATH = "/apis/inferplan.dev/v1alpha1"
PLURALS = {"InferenceInstance": "inferenceinstances", "OptimizationPlan": "optimizationplans"}
STRICT = "dryRun=All&fieldValidation=Strict"
Schema = dict[str, Any]


def schemas() -> Mapping[str, Schema]:
    """Kind → schema of the whole object, from the committed files."""
    documents = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(CRDS.glob("*.inferplan.dev.yaml"))]
    return {
        document["spec"]["names"]["kind"]: document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for document in documents
    }


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its path; list items have the index 0."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}.0")


def rule_names() -> list[str]:
    return [
        f"{kind}:{path}#{index}"
        for kind, schema in schemas().items()
        for path, node in walk(schema)
        for index, _ in enumerate(node.get("x-kubernetes-validations", ()))
    ]


def collection(kind: str, namespace: str) -> str:
    return f"{GROUP_PATH}/namespaces/{namespace}/{PLURALS[kind]}"


@pytest.fixture(scope="module")
def existing(control_plane: Cluster, module_namespace: str) -> Mapping[str, Document]:
    """The plans that update cases start from, as the server stores them."""
    stored = {}
    for start in {case.start for case in CASES if case.update}:
        body = changed(STARTS[start], {"metadata.name": start.replace(" ", "-")})
        answer = control_plane.send("create", collection(body["kind"], module_namespace), body)
        assert answer.code == 0, answer.err
        stored[start] = json.loads(answer.out)
    return stored


def say(case: Case, cluster: Cluster, namespace: str, existing: Mapping[str, Document]) -> tuple[int, str]:
    """Sends the case as a dry run; returns the exit status and what the server says."""
    if case.update:
        body = changed(existing[case.start], case.changes)
        path = f"{collection(body['kind'], namespace)}/{body['metadata']['name']}"
        answer = cluster.send("replace", f"{path}?{STRICT}", body)
    else:
        body = changed(STARTS[case.start], case.changes)
        answer = cluster.send("create", f"{collection(body['kind'], namespace)}?{STRICT}", body)
    return answer.code, answer.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_api_server_answers_as_the_table_says(
    case: Case, control_plane: Cluster, module_namespace: str, existing: Mapping[str, Document]
) -> None:
    code, said = say(case, control_plane, module_namespace, existing)
    if case.refused is None:
        assert code == 0, said
    else:
        assert code != 0, "it was accepted"
        assert case.refused in said


@pytest.mark.parametrize("rule", rule_names())
def test_every_rule_has_a_case_that_it_accepts_and_one_that_it_refuses(rule: str) -> None:
    cases = [case for case in CASES if rule in case.rules]
    assert any(case.refused is None for case in cases), f"no accepted case names {rule}"
    assert any(case.refused is not None for case in cases), f"no refused case names {rule}"


def test_no_case_names_a_rule_that_does_not_exist() -> None:
    assert {rule for case in CASES for rule in case.rules} <= set(rule_names())


def test_every_field_of_a_plan_but_approval_is_shown_to_be_immutable() -> None:
    fields = set(schemas()["OptimizationPlan"]["properties"]["spec"]["properties"])
    shown = {rule for case in PLAN_CASES if case.refused is not None for rule in case.rules}
    assert {f"OptimizationPlan:spec.{name}#0" for name in fields - {"approval"}} <= shown


def beyond() -> Iterator[tuple[str, Any]]:
    """Path → a value just outside of what the schema of an instance's spec allows."""
    for path, node in walk(schemas()["InferenceInstance"]["properties"]["spec"], "spec"):
        step = 1 if node.get("type") == "integer" else 0.5
        if "minimum" in node:
            yield path, node["minimum"] - step
        if "maximum" in node:
            yield path, node["maximum"] + step
        if "enum" in node:
            yield path, "nonsense"
        if "pattern" in node:
            yield path, "\n"
        if "maxLength" in node:
            yield path, "1" * (node["maxLength"] + 1)


def is_full(path: str) -> bool:
    """Whether the full spec has the field, so that the change breaks nothing but the bound."""
    place: Any = {"spec": FULL_SPEC}
    for part in path.split("."):
        place = place[int(part)] if part.isdigit() else place.get(part)
        if place is None:
            return False
    return True


@pytest.mark.parametrize(("path", "value"), tuple(beyond()), ids=lambda part: str(part)[:60])
def test_a_value_outside_of_its_bound_is_refused(
    path: str, value: Any, control_plane: Cluster, module_namespace: str
) -> None:
    assert is_full(path), f"FULL_SPEC lacks {path}"
    body = changed(STARTS["full instance"], {path: value})
    answer = control_plane.send("create", f"{collection('InferenceInstance', module_namespace)}?{STRICT}", body)
    assert answer.code != 0, "it was accepted"
    assert path.replace(".0", "[0]") in answer.err
