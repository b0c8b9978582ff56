"""The plan that a name means: its own, or an instance's."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from inferplan.api.apply import ApplyMode, ApplySpec
from inferplan.api.plan import PlanSpec, PlanStatus
from inferplan.apply.asking import POSSIBLE, Word, decided_by_merging, mode_of
from inferplan.cli.errors import BadInputError
from inferplan.cli.kube import INSTANCES, PLANS, Document, Kubectl
from inferplan.dialects.untyped import mapping, mappings, scalar


@dataclass(frozen=True)
class Found:
    """A plan as the cluster has it.

    Attributes:
        document: The whole object.
        spec: What was decided.
        status: What became of it.
        instance: The instance that it is for.
    """

    document: Document
    spec: PlanSpec
    status: PlanStatus
    instance: Document

    @property
    def name(self) -> str:
        """Its name."""
        return scalar(self.document["metadata"].get("name"))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return scalar(self.document["metadata"].get("namespace"))

    @property
    def mode(self) -> ApplyMode:
        """How plans of its instance are applied."""
        return mode_of(self.instance)

    @property
    def by_merging(self) -> bool:
        """Whether whoever merges a pull request decides."""
        return decided_by_merging(self.instance)

    @property
    def apply(self) -> ApplySpec:
        """The owner's wishes.

        Raises:
            pydantic.ValidationError: Another version wrote them.
        """
        return ApplySpec.from_kube(mapping(mapping(self.instance.get("spec")).get("apply")))


def find(kubectl: Kubectl, name: str) -> Found:
    """The plan of this name, or the current one of the instance of this name.

    Raises:
        BadInputError: There is none.
        CannotRunError: kubectl is not there, or the cluster does not let it.
    """
    plan = kubectl.find(PLANS, name)
    if plan is not None:
        return _with_instance(kubectl, plan)
    instance = _instance(kubectl, name)
    plan = shown_plan(instance, _plans_of(kubectl, instance))
    if plan is None:
        raise BadInputError(f'InferenceInstance "{name}" has no plan: {why_no_plan(instance)}')
    return _found(plan, instance)


def again(kubectl: Kubectl, found: Found) -> Found:
    """The same plan as it is by now.

    Raises:
        BadInputError: It is gone.
        CannotRunError: The cluster does not let the user.
    """
    plan = kubectl.within(found.namespace).find(PLANS, found.name)
    if plan is None or plan["metadata"].get("uid") != found.document["metadata"].get("uid"):
        raise BadInputError(f'OptimizationPlan "{found.name}" does not exist any more')
    return _with_instance(kubectl, plan)


def find_carried(kubectl: Kubectl, name: str) -> Found:
    """As `find`, but of an instance the plan that its workload carries, which need not be the current one."""
    plan = kubectl.find(PLANS, name)
    if plan is not None:
        return _with_instance(kubectl, plan)
    instance = _instance(kubectl, name)
    carried = _newest([plan for plan in _plans_of(kubectl, instance) if _is_carried(plan)])
    return _found(carried, instance) if carried is not None else find(kubectl, name)


def shown_plan(instance: Document, plans: Sequence[Document]) -> Document | None:
    """The plan that holds now; where none does, the one that was applied last."""
    current = mapping(mapping(instance.get("status")).get("plan")).get("name")
    named = next((plan for plan in plans if plan["metadata"].get("name") == current), None)
    return named if named is not None else _newest(plans)


def is_of(plan: Document, instance: Document) -> bool:
    """Whether the plan is for the instance."""
    ref = mapping(mapping(plan.get("spec")).get("instanceRef")).get("name")
    own, its = instance["metadata"], plan["metadata"]
    return bool((its.get("namespace"), ref) == (own.get("namespace"), own.get("name")))


def spec_problem(instance: Document) -> str:
    """What the operator cannot use of the instance's spec; until it is mended, no plan is begun."""
    conditions = mappings(mapping(instance.get("status")).get("conditions"))
    invalid = (entry for entry in conditions if (entry.get("type"), entry.get("reason")) == ("Ready", "SpecInvalid"))
    return next((scalar(entry.get("message")) for entry in invalid), "")


def why_no_plan(instance: Document) -> str:
    """What the instance says of having no plan."""
    conditions = mappings(mapping(instance.get("status")).get("conditions"))
    found = next((entry for entry in conditions if entry.get("type") == "PlanCurrent"), None)
    return scalar(found.get("message")) if found is not None else "the operator has not looked at it yet"


def _newest(plans: Sequence[Document]) -> Document | None:
    """The plan that was applied last; times of RFC 3339 in UTC sort as text."""
    applied = [plan for plan in plans if mapping(plan.get("status")).get("appliedAt")]
    return max(applied, key=lambda plan: scalar(mapping(plan.get("status")).get("appliedAt")), default=None)


def _is_carried(plan: Document) -> bool:
    phase = mapping(plan.get("status")).get("phase")
    return any(phase == known and Word.ROLLBACK in words for known, words in POSSIBLE.items())


def _instance(kubectl: Kubectl, name: str) -> Document:
    instance = kubectl.find(INSTANCES, name)
    if instance is None:
        raise BadInputError(f'there is no OptimizationPlan and no InferenceInstance "{name}" {kubectl.place}')
    return instance


def _plans_of(kubectl: Kubectl, instance: Document) -> list[Document]:
    there = kubectl.within(scalar(instance["metadata"].get("namespace")))
    return [plan for plan in there.list(PLANS) if is_of(plan, instance)]


def _with_instance(kubectl: Kubectl, plan: Document) -> Found:
    there = kubectl.within(scalar(plan["metadata"].get("namespace")))
    name = scalar(mapping(mapping(plan.get("spec")).get("instanceRef")).get("name"))
    instance = there.find(INSTANCES, name)
    if instance is None:
        raise BadInputError(f'the plan\'s InferenceInstance "{name}" does not exist any more')
    return _found(plan, instance)


def _found(plan: Document, instance: Document) -> Found:
    try:
        spec, status = PlanSpec.from_kube(plan["spec"]), PlanStatus.from_kube(plan.get("status") or {})
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        name = plan["metadata"].get("name")
        raise BadInputError(
            f'OptimizationPlan "{name}" was written by another version of InferPlan: {place} cannot be read'
        ) from None
    return Found(plan, spec, status, instance)
