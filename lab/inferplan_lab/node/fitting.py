"""Decide which node an unbound pod fits on. Pure: nodes and pods in, a name or a reason out.

A small part of kube-scheduler: cordon, taints, nodeSelector, required node affinity on labels, resource requests.
No preferences, no pod affinity, no spreading, no preemption.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from inferplan_lab.node.documents import JsonObject, entries, is_finished, metadata, spec_of, status_of
from inferplan_lab.node.quantities import Resources, parse_quantity, pod_requests, total

_BLOCKING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True)
class Fit:
    """The pod fits on this node."""

    node: str


@dataclass(frozen=True)
class Unschedulable:
    """The pod fits nowhere; `message` reads like kube-scheduler's."""

    message: str


def is_ours_to_bind(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod waits for the default scheduler."""
    spec = spec_of(pod)
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", "default-scheduler") == "default-scheduler"
        and metadata(pod).get("deletionTimestamp") is None
        and not is_finished(pod)
    )


def choose_node(pod: JsonObject, nodes: Sequence[JsonObject], pods: Iterable[JsonObject]) -> Fit | Unschedulable:
    """Return the fitting node with the fewest pods, or why there is none.

    Args:
        pod: the unbound pod.
        nodes: the nodes to choose from.
        pods: every pod, to count what is taken.
    """
    bound = [other for other in pods if spec_of(other).get("nodeName") and not is_finished(other)]
    problems: Counter[str] = Counter()
    fitting: list[tuple[int, str]] = []
    for node in nodes:
        name = str(metadata(node)["name"])
        here = [other for other in bound if spec_of(other)["nodeName"] == name]
        found = _problems(pod, node, here)
        problems.update(found)
        if not found:
            fitting.append((len(here), name))
    if fitting:
        return Fit(min(fitting)[1])
    reasons = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items()))
    return Unschedulable(f"0/{len(nodes)} nodes are available: {reasons or 'no nodes'}.")


def _problems(pod: JsonObject, node: JsonObject, here: Iterable[JsonObject]) -> list[str]:
    """Return why the pod can't run on the node, in kube-scheduler's words; nothing means that it fits."""
    spec = spec_of(pod)
    if spec_of(node).get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in entries(spec_of(node), "taints"):
        if taint.get("effect") in _BLOCKING_EFFECTS and not _tolerated(taint, entries(spec, "tolerations")):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    if not _selects(spec, metadata(node).get("labels") or {}):
        return ["node(s) didn't match Pod's node affinity/selector"]
    free = _free(node, here)
    wanted = pod_requests(spec)
    return [f"Insufficient {name}" for name, amount in wanted.items() if amount > free.get(name, Decimal(0))]


def _free(node: JsonObject, here: Iterable[JsonObject]) -> Resources:
    allocatable = status_of(node).get("allocatable") or {}
    taken = total(pod_requests(spec_of(other)) for other in here)
    return {name: parse_quantity(value) - taken.get(name, Decimal(0)) for name, value in allocatable.items()}


def _tolerated(taint: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def _selects(spec: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_matches_term(term, labels) for term in entries(required, "nodeSelectorTerms"))


def _matches_term(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = entries(term, "matchExpressions")
    return bool(expressions) and all(_matches(expression, labels) for expression in expressions)


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    tests: dict[str, Callable[[], bool]] = {
        "In": lambda: value in values,
        "NotIn": lambda: value not in values,
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
        "Gt": lambda: _is_number(value) and int(str(value)) > int(values[0]),
        "Lt": lambda: _is_number(value) and int(str(value)) < int(values[0]),
    }
    return tests[expression["operator"]]()


def _is_number(value: str | None) -> bool:
    return value is not None and value.isdigit()
