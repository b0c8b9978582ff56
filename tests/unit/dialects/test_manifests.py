"""Where containers stand in objects of any kind."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inferplan.api.values import Engine
from inferplan.dialects.manifests import SITES_MAX, Site, not_a_manifest, sites
from inferplan.dialects.words import UnreadableCode


def found(text: str) -> tuple[Site, ...]:
    return sites(yaml.safe_load(text))


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


POD = {"containers": [{"name": "server", "image": "i"}], "volumes": []}
TEMPLATE = {"template": {"spec": POD}}


@pytest.mark.parametrize(
    ("kind", "spec", "places"),
    [
        ("Pod", POD, {"containers.0": ""}),
        ("Deployment", TEMPLATE, {"template.spec.containers.0": ""}),
        ("CronJob", {"jobTemplate": {"spec": TEMPLATE}}, {"jobTemplate.spec.template.spec.containers.0": ""}),
        ("Frobnicator", {"deep": [{"er": TEMPLATE}]}, {"deep.0.er.template.spec.containers.0": ""}),
        (
            "LeaderWorkerSet",
            {"leaderWorkerTemplate": {"leaderTemplate": {"spec": POD}, "workerTemplate": {"spec": POD}}},
            {
                "leaderWorkerTemplate.leaderTemplate.spec.containers.0": "leader",
                "leaderWorkerTemplate.workerTemplate.spec.containers.0": "worker",
            },
        ),
        (
            "LeaderWorkerSet",
            {"leaderWorkerTemplate": {"workerTemplate": {"spec": POD}}},
            {"leaderWorkerTemplate.workerTemplate.spec.containers.0": ""},
        ),
        (
            "RayService",
            {"rayClusterConfig": {"headGroupSpec": TEMPLATE, "workerGroupSpecs": [{"groupName": "a", **TEMPLATE}]}},
            {
                "rayClusterConfig.headGroupSpec.template.spec.containers.0": "head",
                "rayClusterConfig.workerGroupSpecs.0.template.spec.containers.0": "worker",
            },
        ),
        (
            "StormService",
            {"template": {"spec": {"roles": [{"name": "prefill", **TEMPLATE}, {"name": "decode", **TEMPLATE}]}}},
            {
                "template.spec.roles.0.template.spec.containers.0": "prefill",
                "template.spec.roles.1.template.spec.containers.0": "decode",
            },
        ),
        (
            "LLMInferenceService",
            {"template": POD, "prefill": {"template": POD, "worker": POD}},
            {
                "template.containers.0": "",
                "prefill.template.containers.0": "prefill",
                "prefill.worker.containers.0": "prefill worker",
            },
        ),
        (
            "ClusterServingRuntime",
            {"engineConfig": {"leader": {"runner": {"args": []}}}, "routerConfig": {"runner": {"image": "r"}}},
            {"engineConfig.leader.runner": "engine leader", "routerConfig.runner": "router"},
        ),
    ],
)
def test_a_container_is_found_with_its_role(kind: str, spec: dict[str, Any], places: dict[str, str]) -> None:
    document = {"apiVersion": "example.org/v1", "kind": kind, "metadata": {"name": "n", "namespace": "s"}, "spec": spec}
    result = sites(document)
    assert {".".join(map(str, site.path[1:])): site.role for site in result} == places
    for site in result:
        assert (site.kind, site.name, site.namespace) == (kind, "n", "s")
        assert site.container is at(document, site.path)


def test_the_pod_spec_is_the_mapping_around_the_container() -> None:
    document = {"kind": "Deployment", "spec": TEMPLATE}
    assert sites(document)[0].pod_spec is POD


def test_init_containers_and_sidecars_are_marked() -> None:
    result = found("""
        kind: Pod
        spec:
          initContainers:
          - {name: fetch, image: a}
          - {name: proxy, image: b, restartPolicy: Always}
          containers:
          - {name: engine, image: c, restartPolicy: Always}
    """)
    marks = [(site.container_name, site.init, site.sidecar) for site in result]
    assert marks == [("fetch", True, False), ("proxy", True, True), ("engine", False, False)]


def test_a_container_needs_a_name_or_an_image() -> None:
    assert [site.path[-1] for site in found("{kind: X, spec: {containers: [{image: i}, {args: []}, 7, null]}}")] == [0]


def test_a_kubeai_model_is_its_own_container() -> None:
    (site,) = found("""
        apiVersion: kubeai.org/v1
        kind: Model
        metadata: {name: small}
        spec: {engine: VLLM, url: "hf://acme/small?revision=2", args: [--max-num-seqs=8]}
    """)
    assert (site.path, site.container_name, site.engine_hint, site.model_hint, site.pod_spec) == (
        ("spec",),
        "server",
        Engine.VLLM,
        "acme/small",
        {},
    )


@pytest.mark.parametrize(
    ("url", "model"),
    [("hf://acme/small:rev", "acme/small"), ("s3://bucket/x", None), ("hf://acme", None), ("hf://a/b/c", None)],
)
def test_only_a_hub_address_names_a_model(url: str, model: str | None) -> None:
    text = "{apiVersion: serving.kserve.io/v1, kind: InferenceService, spec: {predictor: {model: {storageUri: HERE}}}}"
    (site,) = found(text.replace("HERE", f'"{url}"'))
    assert (site.model_hint, site.container_name, site.role) == (model, "kserve-container", "predictor")


def test_an_inference_service_names_its_engine_by_the_model_format() -> None:
    (site,) = found("""
        apiVersion: serving.kserve.io/v1beta1
        kind: InferenceService
        spec: {predictor: {model: {modelFormat: {name: vLLM}, runtime: r, args: [--max-num-seqs=8]}}}
    """)
    assert (site.engine_hint, site.path) == (Engine.VLLM, ("spec", "predictor", "model"))


def test_dynamo_names_the_engine_of_its_workers_and_not_of_its_frontend() -> None:
    result = found("""
        apiVersion: nvidia.com/v1alpha1
        kind: DynamoGraphDeployment
        spec:
          backendFramework: sglang
          services:
            Frontend: {componentType: frontend, extraPodSpec: {mainContainer: {image: i}}}
            Big: {componentType: worker, subComponentType: prefill, extraPodSpec: {mainContainer: {image: i}}}
            Other: {extraPodSpec: {mainContainer: {args: [a]}, containers: [{name: log}]}}
    """)
    assert [(site.role, site.container_name, site.engine_hint) for site in result] == [
        ("Frontend", "main", None),
        ("prefill", "main", Engine.SGLANG),
        ("Other", "main", Engine.SGLANG),
        ("Other", "log", None),
    ]


def test_a_knative_service_needs_no_name_for_its_container() -> None:
    text = "{apiVersion: serving.knative.dev/v1, kind: Service, spec: {template: {spec: {containers: [{image: i}]}}}}"
    assert [site.container_name for site in found(text)] == ["user-container"]


def test_lists_are_taken_apart_and_typed_lists_lend_their_kind() -> None:
    result = found("""
        kind: List
        items:
        - {kind: Pod, metadata: {name: one}, spec: {containers: [{name: a}]}}
        - {kind: ConfigMap, data: {containers: [{name: a}]}}
        - kind: DeploymentList
          items: [{metadata: {name: two}, spec: {template: {spec: {containers: [{name: b}]}}}}]
    """)
    assert [(site.kind, site.name, site.path[:4]) for site in result] == [
        ("Pod", "one", ("items", 0, "spec", "containers")),
        ("Deployment", "two", ("items", 2, "items", 0)),
    ]


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("kyverno.io/v1", "ClusterPolicy"),
        ("policies.kyverno.io/v1", "ValidatingPolicy"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ("templates.gatekeeper.sh/v1", "ConstraintTemplate"),
        ("argoproj.io/v1alpha1", "Application"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ],
)
def test_objects_that_only_talk_about_containers_hold_none(version: str, kind: str) -> None:
    assert sites({"apiVersion": version, "kind": kind, "spec": TEMPLATE, "data": TEMPLATE}) == ()


def test_metadata_and_status_are_not_looked_into() -> None:
    assert sites({"kind": "X", "metadata": {"containers": [{"name": "a"}]}, "status": POD}) == ()


def test_a_document_that_holds_itself_comes_to_an_end() -> None:
    document = yaml.safe_load("&top {kind: Pod, spec: {self: *top, containers: [{name: a}]}}")
    assert [site.container_name for site in sites(document)] == ["a"]
    listed = yaml.safe_load("&top {kind: List, items: [*top, {kind: Pod, spec: {containers: [{name: a}]}}]}")
    assert {site.container_name for site in sites(listed)} == {"a"}


def test_aliases_of_aliases_give_no_more_than_the_most() -> None:
    lines = ["a0: &a0 {containers: [{name: x}]}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]  # 10^8 of them
    assert len(found("kind: X\n" + "\n".join(lines))) == SITES_MAX
    empty = ["a0: &a0 {}"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert found("kind: X\n" + "\n".join(empty)) == ()


def test_deep_nesting_comes_to_an_end() -> None:
    document: Any = POD
    for _ in range(5000):
        document = {"a": document}
    assert sites({"kind": "X", "spec": document}) == ()


keys = st.one_of(
    st.sampled_from(
        [
            "apiVersion",
            "kind",
            "items",
            "spec",
            "template",
            "containers",
            "initContainers",
            "mainContainer",
            "runner",
            "name",
            "image",
            "metadata",
            "services",
            "componentType",
            "leaderTemplate",
            "workerTemplate",
            "predictor",
            "model",
            "url",
            "engine",
            "roles",
            "namespace",
        ]
    ),
    st.text(max_size=3),
    st.integers(),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=3),
    st.sampled_from(
        ["List", "PodList", "Model", "kubeai.org/v1", "serving.kserve.io/v1", "DynamoX", "InferenceService"]
    ),
)
anything = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=40,
)


@given(anything)
def test_anything_at_all_gives_containers_or_none(document: Any) -> None:
    for site in sites(document):
        assert at(document, site.path) is site.container
        assert isinstance(site.container_name, str)
    refusal = not_a_manifest(document)
    assert refusal is None or refusal.reason


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("servingEngineSpec: {modelSpec: []}", UnreadableCode.HELM_VALUES, "production-stack"),
        ("{modelArtifacts: {}, decode: {containers: []}}", UnreadableCode.HELM_VALUES, "modelservice"),
        ("{image: {tag: x}, replicaCount: 2}", UnreadableCode.HELM_VALUES, "values for a Helm chart"),
        ("{apiVersion: v2, name: c, version: 1.0.0}", UnreadableCode.HELM_VALUES, "Chart.yaml"),
        ("{kind: HelmRelease, apiVersion: helm.toolkit.fluxcd.io/v2}", UnreadableCode.HELM_VALUES, "a HelmRelease"),
        ("{kind: Kustomization, resources: [a]}", UnreadableCode.PATCH_ONLY, "kustomize build"),
        ("{apiVersion: kustomize.config.k8s.io/v1alpha1, kind: Component}", UnreadableCode.PATCH_ONLY, "kustomize"),
        ("{resources: [a.yaml], patches: [{path: b.yaml}]}", UnreadableCode.PATCH_ONLY, "kustomize build"),
        ("[{op: add, path: /spec/x, value: 1}]", UnreadableCode.PATCH_ONLY, "a JSON patch"),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Application}", UnreadableCode.NO_CONTAINERS, "an Argo CD App"),
        ("{apiVersion: v1, spec: {}}", UnreadableCode.NO_CONTAINERS, "has an apiVersion but no kind"),
        ("{name: x}", UnreadableCode.NO_CONTAINERS, "no Kubernetes object"),
        ("[1, 2]", UnreadableCode.NO_CONTAINERS, "a list"),
        ("just words", UnreadableCode.NO_CONTAINERS, "holds a str"),
        ("", UnreadableCode.NO_CONTAINERS, "holds nothing"),
    ],
)
def test_what_is_no_manifest_is_told_apart(text: str, code: UnreadableCode, reason: str) -> None:
    refusal = not_a_manifest(yaml.safe_load(text))
    assert refusal is not None
    assert refusal.code is code
    assert reason in refusal.reason


@pytest.mark.parametrize("text", ["{apiVersion: v1, kind: ConfigMap}", "{kind: Pod}", "{kind: List, items: []}"])
def test_objects_are_manifests_even_without_containers(text: str) -> None:
    assert not_a_manifest(yaml.safe_load(text)) is None
