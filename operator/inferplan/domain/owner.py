"""Who else keeps a workload as it is: what it writes, a change of ours would be taken back from. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class OwnedField(StrEnum):
    """What of a workload somebody else keeps."""

    ALL = "all"
    ARGUMENTS = "arguments"
    REPLICAS = "replicas"


OWN_MANAGER = "inferplan"
"""The field manager that plans are applied as."""


@dataclass(frozen=True)
class Owner:
    """A controller, or a person's tool, that writes a workload.

    Attributes:
        name: For people: "Argo CD", "Flux", "Helm", or the field manager's own name.
        owned: What it keeps.
        reconciles: Whether it puts back what somebody else changes, by itself and within minutes.
        basis: What says so: a label, an annotation, an entry of managedFields.
    """

    name: str
    owned: OwnedField
    reconciles: bool
    basis: str


def keeps_replicas(owners: tuple[Owner, ...]) -> str:
    """Where a number of replicas has to be changed, for people, behind a space; empty where nobody else keeps it."""
    found = next((owner for owner in owners if owner.owned is OwnedField.REPLICAS), None)
    if found is None:
        return ""
    return (
        f" {found.name} sets the replicas ({found.basis}): raise its maximum, or change what it scales by; what is"
        " written into spec.replicas is taken back."
    )
