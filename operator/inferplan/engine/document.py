"""A decision as the spec of the OptimizationPlan that says it, for the operator and for files alike. Pure."""

from dataclasses import dataclass

from inferplan.api.plan import Decision, EngineRef, InstanceRef, Patch, PlanSpec, PlanTarget
from inferplan.dialects.container import Container
from inferplan.domain.observation import Observation
from inferplan.engine.identity import args_digest, context_digest, observation_digest, plan_hash, plan_name
from inferplan.engine.patching import Place, build_patch

_IMAGE_MOST = 1024


@dataclass(frozen=True)
class Target:
    """The workload that a plan is for.

    Attributes:
        place: Kind, namespace and name.
        generation: metadata.generation that was read.
        container: The engine's container.
    """

    place: Place
    generation: int
    container: Container

    def as_plan_target(self, observation: Observation) -> PlanTarget:
        """The target as a plan names it: an approval holds for exactly this."""
        return PlanTarget(
            kind=self.place.kind,
            name=self.place.name,
            container=self.container.name,
            generation=self.generation,
            args_digest=args_digest(self.container.command, self.container.args),
            image=self.container.image[:_IMAGE_MOST],
            context_digest=context_digest(observation, self.container.image),
        )


def plan_spec(
    instance: str, target: Target | None, observation: Observation, decision: Decision, observed_at: str
) -> PlanSpec:
    """The plan as it is written for this decision."""
    plan_target = target.as_plan_target(observation) if target is not None else None
    identity = {"instance": instance}
    if plan_target is not None:
        identity |= {"kind": plan_target.kind, "name": plan_target.name, "container": plan_target.container}
        identity |= {"args": plan_target.args_digest, "image": plan_target.image or ""}
    return PlanSpec.model_validate(
        {
            **{name: getattr(decision, name) for name in Decision.model_fields},
            "instance_ref": InstanceRef(name=instance),
            "engine": EngineRef(name=observation.config.engine, version=observation.config.version),
            "observed_at": observed_at,
            "observation_digest": observation_digest(observation),
            "plan_hash": plan_hash(decision, identity),
            "target": plan_target,
            "patch": patch_of(target, observation, decision),
        }
    )


def patch_of(target: Target | None, observation: Observation, decision: Decision) -> Patch | None:
    """How the container changes; None without a workload or without changes."""
    changes = [change for optimization in decision.optimizations for change in optimization.config_changes]
    if target is None or not changes:
        return None
    return build_patch(target.place, target.container, observation.config.version, changes)


def name_of(spec: PlanSpec) -> str:
    """The plan's name: the instance's, and the first digits of the hash."""
    return plan_name(spec.instance_ref.name, spec.plan_hash)
