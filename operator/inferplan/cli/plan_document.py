"""A decision as the OptimizationPlan that would be written. Pure."""

from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import API_VERSION, OPTIMIZATION_PLAN
from inferplan.api.plan import Decision, Patch
from inferplan.cli.inputs import Inputs
from inferplan.domain.observation import Observation
from inferplan.engine import document
from inferplan.engine.patching import Place


@dataclass(frozen=True)
class Planned:
    """A decision with all that it rests on."""

    inputs: Inputs
    observation: Observation
    decision: Decision
    observed_at: str


def plan_document(planned: Planned) -> dict[str, Any]:
    """The whole object: apiVersion, kind, metadata, spec."""
    name, target = planned.inputs.name, _target(planned.inputs)
    spec = document.plan_spec(name, target, planned.observation, planned.decision, planned.observed_at)
    return {
        "apiVersion": API_VERSION,
        "kind": OPTIMIZATION_PLAN.kind,
        "metadata": {"name": document.name_of(spec), "namespace": planned.inputs.namespace},
        "spec": spec.to_kube(),
    }


def patch_of(planned: Planned) -> Patch | None:
    """How the container changes; None without a workload or without changes."""
    return document.patch_of(_target(planned.inputs), planned.observation, planned.decision)


def _target(inputs: Inputs) -> document.Target | None:
    workload = inputs.workload
    if workload is None:
        return None
    place = Place(workload.kind, inputs.namespace, workload.name)
    return document.Target(place, workload.generation, workload.container)
