"""A decision as the OptimizationPlan that would be written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.kinds import API_VERSION, OPTIMIZATION_PLAN
from inferplan.api.plan import Decision, EngineRef, InstanceRef, Patch, PlanSpec, PlanTarget
from inferplan.cli.inputs import Inputs
from inferplan.domain.observation import Observation
from inferplan.engine.identity import args_digest, observation_digest, plan_hash, plan_name
from inferplan.engine.patching import Place, build_patch
from inferplan.observe.target import Workload

_NAME_MAX = 253 - 9  # a Kubernetes name, less "-" and eight digits of the hash


@dataclass(frozen=True)
class Planned:
    """A decision with all that it rests on."""

    inputs: Inputs
    observation: Observation
    decision: Decision
    observed_at: str


def plan_document(planned: Planned) -> dict[str, Any]:
    """The whole object: apiVersion, kind, metadata, spec."""
    spec = plan_spec(planned)
    inputs = planned.inputs
    return {
        "apiVersion": API_VERSION,
        "kind": OPTIMIZATION_PLAN.kind,
        "metadata": {"name": _name(inputs, spec), "namespace": inputs.namespace},
        "spec": spec.to_kube(),
    }


def plan_spec(planned: Planned) -> PlanSpec:
    """The spec of the plan."""
    inputs, config = planned.inputs, planned.observation.config
    workload = inputs.workload
    decided = {name: getattr(planned.decision, name) for name in Decision.model_fields}
    return PlanSpec.model_validate(
        decided
        | {
            "instance_ref": InstanceRef(name=inputs.name),
            "engine": EngineRef(name=config.engine, version=config.version),
            "observed_at": planned.observed_at,
            "observation_digest": observation_digest(planned.observation),
            "plan_hash": plan_hash(planned.decision, _identity(inputs)),
            "target": None if workload is None else _target(workload),
            "patch": patch_of(planned),
        }
    )


def patch_of(planned: Planned) -> Patch | None:
    """How the container changes; None without a workload or without changes."""
    workload = planned.inputs.workload
    changes = [change for entry in planned.decision.optimizations for change in entry.config_changes]
    if workload is None or not changes:
        return None
    place = Place(workload.kind, planned.inputs.namespace, workload.name)
    return build_patch(planned.observation.config.engine, place, workload.container, changes)


def _name(inputs: Inputs, spec: PlanSpec) -> str:
    return plan_name(inputs.name[:_NAME_MAX].rstrip("-."), spec.plan_hash)


def _target(workload: Workload) -> PlanTarget:
    return PlanTarget(
        kind=workload.kind,
        name=workload.name,
        container=workload.container.name,
        generation=workload.generation,
        args_digest=args_digest(workload.container.command, workload.container.args),
    )


def _identity(inputs: Inputs) -> Mapping[str, str]:
    """As the operator has it, so that both give the same plan the same name (tests/unit/cli/test_plan_document.py)."""
    workload = inputs.workload
    if workload is None:
        return {"instance": inputs.name}
    target = _target(workload)
    return {
        "instance": inputs.name,
        "kind": target.kind,
        "name": target.name,
        "container": target.container,
        "args": target.args_digest,
    }
