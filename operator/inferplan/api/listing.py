"""What GET /api/v1/instances and /api/v1/plans answer: the columns of `kubectl get -o wide`, and whole plans."""

from typing import Annotated

from pydantic import Field

from inferplan.api.base import ShortText, WireModel
from inferplan.api.plan import PlanSpec, PlanStatus


class ListedObject(WireModel):
    """What every object has."""

    namespace: Annotated[ShortText, Field(description="Namespace.")]
    name: Annotated[ShortText, Field(description="Name.")]
    created_at: Annotated[ShortText | None, Field(description="When it was created.")] = None


class InstanceSummary(ListedObject):
    """An InferenceInstance in a line."""

    model: Annotated[str | None, Field(description="Model that the engine serves.")] = None
    engine: Annotated[str | None, Field(description="Serving engine.")] = None
    version: Annotated[str | None, Field(description="Engine version.")] = None
    ready: Annotated[str | None, Field(description="True, False or Unknown: whether it could be read.")] = None
    reason: Annotated[str | None, Field(description="Why it is (not) ready.")] = None
    bottleneck: Annotated[str | None, Field(description="What limits it most.")] = None
    plan: Annotated[str | None, Field(description="The plan that holds now.")] = None
    gain: Annotated[str | None, Field(description="What that plan is expected to bring.")] = None
    mode: Annotated[str | None, Field(description="Whether plans are applied, and how.")] = None


class PlanRow(ListedObject):
    """An OptimizationPlan in a line."""

    instance: Annotated[str | None, Field(description="The instance that it is for.")] = None
    phase: Annotated[str | None, Field(description="What became of it.")] = None
    changes: Annotated[str | None, Field(description="Settings that change.")] = None
    impact: Annotated[str | None, Field(description="low, medium, high or critical.")] = None
    gain: Annotated[str | None, Field(description="Expected gain.")] = None
    confidence: Annotated[str | None, Field(description="How sure it is.")] = None
    restart: Annotated[bool | None, Field(description="Whether pods restart.")] = None
    risk: Annotated[str | None, Field(description="The gravest risk.")] = None
    realized: Annotated[str | None, Field(description="What the change brought.")] = None


class InstanceList(WireModel):
    """Answer of GET /api/v1/instances."""

    items: Annotated[tuple[InstanceSummary, ...], Field(description="By namespace and name.")]


class PlanList(WireModel):
    """Answer of GET /api/v1/plans."""

    items: Annotated[tuple[PlanRow, ...], Field(description="By namespace and name.")]


class PlanResource(ListedObject):
    """Answer of GET /api/v1/plans/{namespace}/{name}: the plan as it is stored, in snake_case."""

    spec: Annotated[PlanSpec, Field(description="What was decided.")]
    status: Annotated[PlanStatus, Field(description="What became of it.")]
