"""Conditions as Kubernetes knows them (KEP-1623), and the pure functions that set them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from inferplan.api.base import WireModel


class Status(StrEnum):
    """A condition's three values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(WireModel):
    """One observed aspect of an object."""

    model_config = ConfigDict(
        json_schema_extra={"required": ["type", "status", "reason", "message", "lastTransitionTime"]}
    )

    type: Annotated[str, Field(max_length=316, description="Aspect, in CamelCase.")]
    status: Annotated[Status, Field(description="True, False or Unknown.")]
    reason: Annotated[str, Field(min_length=1, max_length=1024, description="Code of the cause, in CamelCase.")]
    message: Annotated[str, Field(max_length=32768, description="The cause in a sentence for people.")]
    last_transition_time: Annotated[
        str, Field(description="When the status last changed.", json_schema_extra={"format": "date-time"})
    ]
    observed_generation: Annotated[int | None, Field(ge=0, description="metadata.generation that was seen.")] = None


def set_condition(present: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """Puts `new` in the place of the condition of its type, sorted by type.

    The transition time stays when the status stays, so an unchanged condition gives no write.
    """
    by_type = {condition.type: condition for condition in present}
    old = by_type.get(new.type)
    if old is not None and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    by_type[new.type] = new
    return tuple(by_type[name] for name in sorted(by_type))
