"""The objects that `inferplan plan` gets, and what a plan makes of them."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from benchmarks.closed_loop.cases import Case

Object = dict[str, Any]
NAMESPACE, CONTAINER = "serving", "vllm"
IMAGE = "vllm/vllm-openai:v{version}"


class NotApplicableError(ValueError):
    """The plan has changes and no patch that makes them."""


def deployment(case: Case, version: str) -> Object:
    """The Deployment that runs the case's arguments."""
    container = {
        "name": CONTAINER,
        "image": IMAGE.format(version=version),
        "command": ["vllm", "serve"],
        "args": [case.model, *case.args],
        "env": [{"name": name, "value": value} for name, value in case.environment.items() if value],
        "ports": [{"name": "http", "containerPort": 8000}],
        **({"resources": {"limits": {"nvidia.com/gpu": str(case.gpus)}}} if case.gpu else {}),
    }
    labels = {"app": case.name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": case.name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def instance(case: Case, config: Mapping[str, Any] | None) -> Object:
    """The InferenceInstance of that Deployment.

    Args:
        case: its spec is added.
        config: the model's config.json, where its id is not in the catalogue.
    """
    spec: Object = {
        "engine": "vllm",
        "targetRef": {"kind": "Deployment", "name": case.name},
        "metrics": {"selector": {"app": case.name}},
    }
    if config is not None:
        spec["model"] = {"config": dict(config)}
    if case.gpu:
        spec["accelerator"] = {"product": case.gpu, "count": case.gpus}
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": case.name, "namespace": NAMESPACE},
        "spec": {**spec, **case.spec},
    }


def containers(workload: Mapping[str, Any]) -> list[Object]:
    """The containers of a Deployment."""
    found: list[Object] = workload["spec"]["template"]["spec"]["containers"]
    return found


def arguments(workload: Mapping[str, Any]) -> list[str]:
    """What follows the program's name on the container's command line."""
    container = containers(workload)[0]
    return [*container["command"][1:], *container["args"]]


def applied(workload: Mapping[str, Any], plan: Mapping[str, Any]) -> Object:
    """The Deployment after the plan's own server-side apply.

    Args:
        workload: before.
        plan: an OptimizationPlan.

    Returns:
        A copy in which the body's fields of each container, by name, stand in place of the old ones; lists of named
        entries (env) are merged by name, all other lists are replaced, as the API server does it.

    Raises:
        NotApplicableError: there is no body.
    """
    patch = plan["spec"].get("patch") or {}
    body = patch.get("serverSideApply")
    if not body:
        raise NotApplicableError(patch.get("reason") or "the plan has no server-side apply")
    after = deepcopy(dict(workload))
    new = {container["name"]: container for container in containers(json.loads(body))}
    for container in containers(after):
        for name, value in new.get(container["name"], {}).items():
            container[name] = _merged(container.get(name), value)
    return after


def _merged(old: Any, new: Any) -> Any:  # noqa: ANN401 - fields of a container, of every kind
    named = isinstance(new, list) and bool(new) and all(isinstance(entry, dict) and "name" in entry for entry in new)
    if not named:
        return new
    return list({entry["name"]: entry for entry in (*(old or ()), *new)}.values())
