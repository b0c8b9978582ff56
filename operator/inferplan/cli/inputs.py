"""Documents of known kinds → what the planner needs: the instance, and what the other documents say of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inferplan.api import rules
from inferplan.api.instance import InstanceSpec
from inferplan.api.kinds import API_VERSION, INFERENCE_INSTANCE
from inferplan.api.plan import InstanceRef
from inferplan.apply.windows import unreadable_window
from inferplan.cli.documents import Document
from inferplan.cli.errors import BadInputError
from inferplan.observe.target import ConfigMaps, TargetError, Workload, read_workload
from inferplan.web.checks import Fields, cross_field_problems, settings_problems
from inferplan.web.problems import Problem, Spelling, problems_of, shown

Note = Callable[[str], None]
"""Tells the user something that is no error, on standard error."""

_WORKLOADS = frozenset({"Deployment", "StatefulSet"})
KNOWN_KINDS = frozenset({INFERENCE_INSTANCE.kind, "ConfigMap", "Node", *_WORKLOADS})
"""Kinds of which something is read; others are left out."""
_GPU_LABELS = "nvidia.com/gpu."
_FIELDS = Fields(
    current_config="spec.currentConfig",
    forbid="spec.constraints.forbid",
    model="spec.model",
    slo="spec.slo",
    workload="spec.workload",
    optimizers="spec.constraints.optimizers",
)


@dataclass(frozen=True)
class Inputs:
    """What the files say of one instance.

    Attributes:
        name: The instance's name.
        namespace: Its namespace, "default" where the file leaves it to kubectl.
        spec: What its owner says.
        workload: The workload that spec.targetRef names; None when it names none or none of the files holds it.
        node_labels: Labels of the nodes that its pods may run on, as far as they tell the GPU.
        model_config: The model's config.json.
    """

    name: str
    namespace: str
    spec: InstanceSpec
    workload: Workload | None
    node_labels: Mapping[str, str]
    model_config: Mapping[str, Any] | None


def read_inputs(documents: Sequence[Document], note: Note) -> Inputs:
    """Finds the one InferenceInstance and what belongs to it.

    Raises:
        BadInputError: There is none or more than one, or a document that is needed cannot be used.
    """
    for document in documents:
        if document.kind not in KNOWN_KINDS:
            note(f"{document.place}: {document.kind or 'an object without kind'} is not needed and left out")
    return inputs_of(_the_instance(documents), documents, note)


def inputs_of(instance: Document, documents: Sequence[Document], note: Note) -> Inputs:
    """What the documents say of one instance.

    Raises:
        BadInputError: A document that is needed cannot be used.
    """
    spec = _spec(instance)
    namespace = str(instance.metadata.get("namespace") or "default")
    own = [entry for entry in documents if (entry.metadata.get("namespace") or namespace) == namespace]
    found = _target(spec, own, note)
    return Inputs(
        name=_name(instance),
        namespace=namespace,
        spec=spec,
        workload=None if found is None else _workload(found, spec, _config_maps(own)),
        node_labels=_node_labels(found, [entry for entry in documents if entry.kind == "Node"]),
        model_config=_model_config(spec, own, note),
    )


def _the_instance(documents: Sequence[Document]) -> Document:
    found = [document for document in documents if document.kind == INFERENCE_INSTANCE.kind]
    if len(found) == 1:
        return found[0]
    if not found:
        kinds = ", ".join(sorted({document.kind or "no kind" for document in documents}))
        raise BadInputError(f"no file holds an {INFERENCE_INSTANCE.kind} (found: {kinds})")
    places = ", ".join(f'"{document.name}" in {document.place}' for document in found)
    raise BadInputError(f"give one {INFERENCE_INSTANCE.kind}, not {len(found)}: {places}")


def _name(instance: Document) -> str:
    try:
        return InstanceRef(name=instance.name).name
    except ValidationError:
        why = f"metadata.name: {shown(instance.metadata.get('name'))} must be lower-case letters, digits, - and ."
        raise BadInputError(f"{instance.place}: {why}") from None


def _spec(instance: Document) -> InstanceSpec:
    version = instance.content.get("apiVersion")
    if version != API_VERSION:
        raise BadInputError(f"{instance.place}: apiVersion: {shown(version)} is not allowed; allowed: {API_VERSION}")
    if not isinstance(instance.content.get("spec"), dict):
        raise BadInputError(f"{instance.place}: spec: is missing")
    try:
        spec = InstanceSpec.from_kube(instance.content["spec"])
    except ValidationError as error:
        problems = problems_of(error, InstanceSpec, Spelling.KUBE, "spec")
        raise _bad(instance, [problem.line for problem in problems]) from None
    problems = (
        *_nothing_to_rest_on(spec),
        *settings_problems(spec.engine, spec.current_config, _FIELDS.current_config),
        *cross_field_problems(spec, _FIELDS),
        *_windows(spec),
    )
    if problems:
        raise _bad(instance, [problem.line for problem in problems])
    return spec


def _nothing_to_rest_on(spec: InstanceSpec) -> tuple[Problem, ...]:
    told = spec.target_ref is not None or "current_config" in spec.model_fields_set
    return () if told else (Problem("spec", rules.TARGET_OR_CONFIG.message),)


def _windows(spec: InstanceSpec) -> tuple[Problem, ...]:
    """What no rule of the CRD can tell, and the operator would say only in the cluster."""
    found = unreadable_window(spec.apply.maintenance_windows)
    return () if found is None else (Problem("", found),)


def _bad(document: Document, lines: Sequence[str]) -> BadInputError:
    return BadInputError(*(f"{document.place}: {line}" for line in lines))


def _target(spec: InstanceSpec, documents: Sequence[Document], note: Note) -> Document | None:
    ref = spec.target_ref
    workloads = [entry for entry in documents if entry.kind in _WORKLOADS]
    if ref is None:
        for entry in workloads:
            note(f"{entry.place}: {entry.kind} {entry.name} is left out: spec.targetRef does not name it")
        return None
    found = next((entry for entry in workloads if (entry.kind, entry.name) == (ref.kind, ref.name)), None)
    if found is None:
        note(f"spec.targetRef: {ref.kind} {ref.name} is in none of the files; the plan rests on the spec alone")
    return found


def _config_maps(documents: Sequence[Document]) -> ConfigMaps:
    return {entry.name: _labels(_at(entry.content, "data")) for entry in documents if entry.kind == "ConfigMap"}


def _workload(document: Document, spec: InstanceSpec, config_maps: ConfigMaps) -> Workload | None:
    if spec.target_ref is None:
        return None
    try:
        return read_workload(document.content, spec.target_ref, spec.engine, config_maps)
    except TargetError as error:
        raise BadInputError(f"{document.place}: {error.message}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"no {document.kind} that can be read: {type(error).__name__}: {error}"
        raise BadInputError(f"{document.place}: {why}") from None


def _node_labels(workload: Document | None, nodes: Sequence[Document]) -> Mapping[str, str]:
    """Labels of the nodes that fit the pod template's nodeSelector; the selector itself where no file holds one."""
    selector = _labels(_at(workload.content, "spec", "template", "spec", "nodeSelector")) if workload else {}
    fitting = [node for node in nodes if selector.items() <= _labels(node.metadata.get("labels")).items()]
    gpus = [_gpu_labels(_labels(node.metadata.get("labels"))) for node in fitting]
    if any(labels != gpus[0] for labels in gpus):
        names = ", ".join(node.name for node in fitting)
        raise BadInputError(f"nodes {names} have different GPUs and all fit the pods; give the one that is meant")
    return gpus[0] if gpus else _gpu_labels(selector)


def _gpu_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name.startswith(_GPU_LABELS)}


def _labels(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _at(content: object, *path: str) -> object:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _model_config(spec: InstanceSpec, documents: Sequence[Document], note: Note) -> Mapping[str, Any] | None:
    ref = spec.model.config_map_ref if spec.model is not None else None
    if ref is None:
        return spec.model.config if spec.model is not None else None
    found = next((entry for entry in documents if (entry.kind, entry.name) == ("ConfigMap", ref.name)), None)
    if found is None:
        note(f"spec.model.configMapRef: ConfigMap {ref.name} is in none of the files; the model stays unknown")
        return None
    return _parsed_config(found, ref.key)


def _parsed_config(document: Document, key: str) -> Mapping[str, Any]:
    text = _at(document.content, "data", key)
    if not isinstance(text, str):
        keys = ", ".join(map(str, _labels(_at(document.content, "data")))) or "none"
        raise BadInputError(f'{document.place}: data has no key "{key}" with text (there are: {keys})')
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{document.place}: data.{key}: no JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadInputError(f"{document.place}: data.{key}: holds a {type(config).__name__}, not a config.json")
    return config
