"""What kinds of objects say about a container besides its own mapping: role, engine, model. Pure.

Kinds and fields: LeaderWorkerSet v1, RayCluster v1, KServe v0.17 (InferenceService, LLMInferenceService), OME v1beta1,
KubeAI v1 Model, Dynamo v1alpha1 DynamoGraphDeployment, aibrix v1alpha1 StormService, JobSet v1alpha2, Volcano v1alpha1.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.untyped import text

Path = tuple[str | int, ...]

_ROLES = {
    "decode": "decode",
    "decoder": "decode",
    "decoderConfig": "decode",
    "engine": "engine",
    "engineConfig": "engine",
    "explainer": "explainer",
    "headGroupSpec": "head",
    "leader": "leader",
    "leaderTemplate": "leader",
    "predictor": "predictor",
    "prefill": "prefill",
    "router": "router",
    "routerConfig": "router",
    "transformer": "transformer",
    "worker": "worker",
    "workerGroupSpecs": "worker",
    "workerSpec": "worker",
    "workerTemplate": "worker",
}
_ENGINES = {"vllm": Engine.VLLM, "sglang": Engine.SGLANG, "tgi": Engine.TGI, "textgenerationinference": Engine.TGI}
_DYNAMO_ENGINES = frozenset({"main", "worker", "prefill", "decode"})
_HUB = "hf://"
_DEFAULT_NAMES: Mapping[str | int, str] = {"mainContainer": "main", "container": "main"}  # Dynamo's, Argo Workflows'
_OWN_SHAPES: Mapping[str, tuple[str, Path, str]] = {
    "InferenceService": ("serving.kserve.io", ("spec", "predictor", "model"), "kserve-container"),
    "Model": ("kubeai.org", ("spec",), "server"),
}


def has_own_shape(item: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where a kind keeps a container's fields without a container around them, and how its controller names it."""
    for kind, (group, path, name) in _OWN_SHAPES.items():
        if _is(item, group, kind) and isinstance(_at(item, *path), Mapping):
            yield path, name


def default_name(item: Mapping[str, Any], path: Path) -> str:
    """What a container is called that the manifest gives no name; "" where its kind asks for one."""
    if text(item.get("apiVersion")).startswith("serving.knative.dev/"):
        return "user-container"
    return _DEFAULT_NAMES.get(path[-1], "")


def role(item: Mapping[str, Any], path: Path) -> str:
    """What the object calls the part in which the container stands, outer part first."""
    parts = [_part(item, path[:length]) for length in range(1, len(path))]
    return " ".join(dict.fromkeys(part for part in parts if part))


def _part(item: Mapping[str, Any], path: Path) -> str:
    """What the last step of a path is called."""
    *around, key = path
    if isinstance(key, int):
        return text(_at(item, *path, "name"))
    if key == "workerTemplate" and _at(item, *around, "leaderTemplate") is None:
        return ""  # LeaderWorkerSet: without a leader's template all pods are made of this one
    if around[-1:] == ["services"]:
        return text(_at(item, *path, "subComponentType")) or key
    return _ROLES.get(key, "")


def engine_hint(item: Mapping[str, Any], path: Path) -> Engine | None:
    """The engine that the object names for this container."""
    if _is(item, "kubeai.org", "Model"):
        return _engine(_at(item, "spec", "engine")) if path == ("spec",) else None
    if _is(item, "serving.kserve.io", "InferenceService") and path == ("spec", "predictor", "model"):
        return _engine(_at(item, "spec", "predictor", "model", "modelFormat", "name"))
    if text(item.get("kind")).startswith("Dynamo") and path[-1:] == ("mainContainer",):
        component = _at(item, *path[:-2], "componentType")
        runs_engine = component is None or text(component) in _DYNAMO_ENGINES
        return _engine(_at(item, "spec", "backendFramework")) if runs_engine else None
    return None


def model_hint(item: Mapping[str, Any]) -> str | None:
    """The Hugging Face repository that the object names: "hf://org/model:revision" → "org/model"."""
    if _is(item, "kubeai.org", "Model"):
        return _repository(_at(item, "spec", "url"))
    if _is(item, "serving.kserve.io", "InferenceService"):
        return _repository(_at(item, "spec", "predictor", "model", "storageUri"))
    if _is(item, "serving.kserve.io", "LLMInferenceService", "LLMInferenceServiceConfig"):
        return _repository(_at(item, "spec", "model", "uri"))
    return None


def _is(item: Mapping[str, Any], group: str, *kinds: str) -> bool:
    return text(item.get("apiVersion")).startswith(f"{group}/") and item.get("kind") in kinds


def _at(node: object, *path: str | int) -> object:
    """What stands at a path, None where nothing does."""
    for key in path:
        if isinstance(node, Mapping):
            node = node.get(key)
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
        else:
            return None
    return node


def _engine(name: object) -> Engine | None:
    return _ENGINES.get(name.lower()) if isinstance(name, str) else None


def _repository(address: object) -> str | None:
    if not isinstance(address, str) or not address.startswith(_HUB):
        return None
    owner, slash, name = address.removeprefix(_HUB).partition("?")[0].partition(":")[0].partition("/")
    return f"{owner}/{name}" if owner and slash and name and "/" not in name else None
