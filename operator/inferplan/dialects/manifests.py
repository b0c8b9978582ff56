"""Every place in a Kubernetes object where a container of an engine may stand. Pure.

One walk finds them by their shape (a list `containers`, a `mainContainer`, a `runner`), so that kinds which nobody here
has heard of work too. A small table holds the kinds whose container has another shape.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.manifest_hints import default_name, engine_hint, has_own_shape, model_hint, role
from inferplan.dialects.untyped import text
from inferplan.dialects.words import Unreadable, UnreadableCode

Path = tuple[str | int, ...]

DEPTH_MAX = 40
"""Levels that are looked through; the deepest container seen stands 9 levels down (RayClusterFleet)."""
SITES_MAX = 10_000
"""Containers of one document that are listed; only documents made of aliases to aliases have more."""
_NESTED_LISTS_MAX = 2
_GROUPS_WITHOUT_CONTAINERS = frozenset(
    # Their objects talk about containers (schemas, policies, values of charts) and hold none.
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "constraints.gatekeeper.sh",
        "helm.cattle.io",
        "helm.toolkit.fluxcd.io",
        "kustomize.config.k8s.io",
        "kyverno.io",
        "mutations.gatekeeper.sh",
        "policies.kyverno.io",
        "templates.gatekeeper.sh",
    }
)
_KINDS_WITHOUT_CONTAINERS = frozenset({"ConfigMap", "Secret", "Application", "ApplicationSet", "AppProject"})
_KUSTOMIZATION = "a Kustomization; give what `kustomize build` makes of it"
_KUSTOMIZATION_FIELDS = frozenset({"patches", "patchesStrategicMerge", "patchesJson6902", "configMapGenerator"})
_CHARTS = (
    # Top-level keys of the values of charts that start engines (vllm production-stack 0.1, llm-d modelservice 0.4).
    (frozenset({"servingEngineSpec", "routerSpec"}), "the vLLM production-stack chart"),
    (frozenset({"modelArtifacts"}), "the llm-d modelservice chart"),
)
_COMMON_VALUES = frozenset(
    {"image", "replicaCount", "resources", "nodeSelector", "extraArgs", "model", "models", "vllm"}
)
_MADE_ELSEWHERE = {
    # Kinds whose controller writes the container itself, out of fields of its own.
    "VLLMRuntime": "the production-stack operator",
    "LLMInferenceService": "KServe",
    "ModelBooster": "Kthena",
}
_COMPLETED = {"InferenceService": "KServe's runtime", "LLMInferenceService": "KServe's LLMInferenceServiceConfig"}
_NOT_LOOKED_INTO = frozenset({"metadata", "status"})
_CONTAINER_LISTS = {"containers": False, "initContainers": True}
_SINGLE_CONTAINERS = frozenset({"mainContainer", "runner", "container"})
_MARKS_OF_A_SINGLE_CONTAINER = frozenset({"image", "command", "args"})


@dataclass(frozen=True)
class Site:
    """A container in a document.

    Attributes:
        kind: Kind of the object that it stands in.
        name: Name of that object, "" where it has none.
        namespace: Namespace of that object, "" where it has none.
        path: Where the container's mapping stands inside the document.
        role: What the object calls this part of it (leader, worker, prefill, "engine leader" …), "" for the only part.
        container: The container's mapping as it stands there.
        container_name: Its name; what the kind's controller calls it where the manifest gives none.
        pod_spec: The mapping around it with volumes, nodeSelector and so on, {} if none.
        init: Whether it is an init container.
        sidecar: Whether it is an init container that keeps running (`restartPolicy: Always`).
        engine_hint: Engine that the object itself names.
        model_hint: Hugging Face repository that the object itself names.
    """

    kind: str
    name: str
    namespace: str
    path: Path
    role: str
    container: Mapping[str, Any]
    container_name: str
    pod_spec: Mapping[str, Any]
    init: bool
    sidecar: bool
    engine_hint: Engine | None
    model_hint: str | None


@dataclass(frozen=True)
class _Place:
    path: Path
    container: Mapping[str, Any]
    pod_spec: Mapping[str, Any]
    init: bool = False
    name: str = ""


def sites(document: object) -> tuple[Site, ...]:
    """All containers of an object, or of the objects in a list (`kind: List`, `DeploymentList` …), in their order."""
    found: list[Site] = []
    for prefix, item in objects(document):
        for place in _places(item):
            found.append(_site(item, prefix, place))
            if len(found) >= SITES_MAX:
                return tuple(found)
    return tuple(found)


def objects(document: object, prefix: Path = (), kind: str = "") -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The objects of a document, each with its path in it: itself, or the items of a list.

    Items of a `DeploymentList` need not say that they are Deployments.
    """
    if not isinstance(document, Mapping) or len(prefix) > 2 * _NESTED_LISTS_MAX:
        return
    own_kind, items = document.get("kind", kind), document.get("items")
    if isinstance(own_kind, str) and own_kind.endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            yield from objects(item, (*prefix, "items", index), own_kind.removesuffix("List"))
    elif isinstance(own_kind, str) and own_kind:
        yield prefix, document if "kind" in document else {**document, "kind": own_kind}


def _site(item: Mapping[str, Any], prefix: Path, place: _Place) -> Site:
    metadata = item.get("metadata")
    names = metadata if isinstance(metadata, Mapping) else {}
    return Site(
        kind=item["kind"],
        name=text(names.get("name")),
        namespace=text(names.get("namespace")),
        path=prefix + place.path,
        role=role(item, place.path),
        container=place.container,
        container_name=text(place.container.get("name")) or place.name or default_name(item, place.path),
        pod_spec=place.pod_spec,
        init=place.init,
        sidecar=place.init and place.container.get("restartPolicy") == "Always",
        engine_hint=engine_hint(item, place.path),
        model_hint=model_hint(item),
    )


def _places(item: Mapping[str, Any]) -> Iterator[_Place]:
    if _group(item) in _GROUPS_WITHOUT_CONTAINERS or item["kind"] in _KINDS_WITHOUT_CONTAINERS:
        return
    for path, name in has_own_shape(item):
        inner: Any = item
        around: Any = {}
        for key in path:
            around, inner = inner, inner[key]
        yield _Place(path, inner, around if len(path) > 1 else {}, name=name)
    walk = _Walk()
    for key, value in item.items():
        if key not in _NOT_LOOKED_INTO and isinstance(key, str):
            yield from walk.places(value, (key,))


def _group(item: Mapping[str, Any]) -> str:
    return text(item.get("apiVersion")).rpartition("/")[0]


class _Walk:
    """Looks through a tree that may hold itself, or the same part at many places (YAML aliases)."""

    def __init__(self) -> None:
        self._around: set[int] = set()
        self._empty: set[int] = set()

    def places(self, node: object, path: Path) -> Iterator[_Place]:
        if not isinstance(node, (Mapping, list)) or len(path) > DEPTH_MAX:
            return
        if id(node) in self._around or id(node) in self._empty:
            return
        self._around.add(id(node))
        empty = True
        for place in self._inside(node, path):
            empty = False
            yield place
        self._around.discard(id(node))
        if empty:
            self._empty.add(id(node))

    def _inside(self, node: Mapping[str, Any] | list[Any], path: Path) -> Iterator[_Place]:
        if isinstance(node, list):
            for index, value in enumerate(node):
                yield from self.places(value, (*path, index))
            return
        for key, value in node.items():
            if not isinstance(key, str):
                continue
            if key in _CONTAINER_LISTS and isinstance(value, list):
                yield from _listed(value, (*path, key), node, init=_CONTAINER_LISTS[key])
            elif key in _SINGLE_CONTAINERS and _is_single_container(value):
                yield _Place((*path, key), value, node)
            else:
                yield from self.places(value, (*path, key))


def _listed(values: list[Any], path: Path, pod_spec: Mapping[str, Any], *, init: bool) -> Iterator[_Place]:
    for index, value in enumerate(values):
        if isinstance(value, Mapping) and any(isinstance(value.get(key), str) for key in ("name", "image")):
            yield _Place((*path, index), value, pod_spec, init)


def _is_single_container(value: object) -> bool:
    return isinstance(value, Mapping) and not _MARKS_OF_A_SINGLE_CONTAINER.isdisjoint(value)


def why_no_container(kind: str) -> str:
    """Why an object of a kind holds no container although an engine comes out of it; empty where nothing is known."""
    maker = _MADE_ELSEWHERE.get(kind)
    return f"{maker} makes the containers from it; give the workload that it makes" if maker is not None else ""


def completed_by(kind: str) -> str:
    """Whose controller adds arguments to a container of this kind that has no command; empty where none does."""
    return _COMPLETED.get(kind, "")


def not_a_manifest(document: object) -> Unreadable | None:
    """Why a document is no object that a cluster could take, None where it is one (it may still hold no container)."""
    if isinstance(document, list):
        if document and all(isinstance(step, Mapping) and {"op", "path"} <= step.keys() for step in document):
            return _refusal(UnreadableCode.PATCH_ONLY, "a JSON patch; give the object that it changes, patched")
        return _refusal(UnreadableCode.NO_CONTAINERS, "a list, not an object with apiVersion and kind")
    if not isinstance(document, Mapping):
        return _refusal(UnreadableCode.NO_CONTAINERS, f"holds {_named(document)}, no object with apiVersion and kind")
    return _without_kind(document) if not text(document.get("kind")) else _of_a_tool(document)


def _refusal(code: UnreadableCode, reason: str) -> Unreadable:
    return Unreadable(code, "", reason)


def _named(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _without_kind(document: Mapping[Any, Any]) -> Unreadable:
    keys = document.keys()
    if {"apiVersion", "name", "version"} <= keys:
        return _refusal(UnreadableCode.HELM_VALUES, "a Helm chart's Chart.yaml; render the chart with `helm template`")
    for marks, chart in _CHARTS:
        if not marks.isdisjoint(keys):
            return _refusal(UnreadableCode.HELM_VALUES, f"values for {chart}; render it with `helm template`")
    if "apiVersion" in keys:
        return _refusal(UnreadableCode.NO_CONTAINERS, "has an apiVersion but no kind")
    if not keys.isdisjoint(_KUSTOMIZATION_FIELDS):
        return _refusal(UnreadableCode.PATCH_ONLY, _KUSTOMIZATION)
    if keys and all(isinstance(key, str) for key in keys) and not keys.isdisjoint(_COMMON_VALUES):
        return _refusal(UnreadableCode.HELM_VALUES, "values for a Helm chart; render it with `helm template`")
    return _refusal(UnreadableCode.NO_CONTAINERS, "has no apiVersion and kind, so it is no Kubernetes object")


def _of_a_tool(document: Mapping[Any, Any]) -> Unreadable | None:
    group, kind = _group(document), document["kind"]
    if group == "kustomize.config.k8s.io" or kind == "Kustomization":
        return _refusal(UnreadableCode.PATCH_ONLY, _KUSTOMIZATION)
    if group in {"helm.toolkit.fluxcd.io", "helm.cattle.io"}:
        return _refusal(UnreadableCode.HELM_VALUES, f"a {kind} holds Helm values; give what the chart renders")
    if group == "argoproj.io" and kind.startswith("Application"):
        return _refusal(UnreadableCode.NO_CONTAINERS, f"an Argo CD {kind} names manifests; give those")
    return None
