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


_WHO = (
    ("argocd", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
    ("terraform", "Terraform"),
    ("pulumi", "Pulumi"),
    ("kubectl", "a person with kubectl"),
    ("before-first-apply", "whoever made it"),
)
"""Beginnings of field managers' names, as the tools' own sources have them; the last one is the API server's own word
for those who wrote before the first server-side apply."""


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


def told_manager(manager: str) -> str:
    """A field manager with who that is, for people: "kubectl-edit (a person with kubectl)".

    Args:
        manager: Its name in metadata.managedFields.
    """
    known = next((who for start, who in _WHO if manager.lower().startswith(start)), None)
    return manager if known is None or known.lower() == manager.lower() else f"{manager} ({known})"


def keeps_replicas(owners: tuple[Owner, ...]) -> str:
    """Where a number of replicas has to be changed, for people, behind a space; empty where nobody else keeps it."""
    found = next((owner for owner in owners if owner.owned is OwnedField.REPLICAS), None)
    if found is None:
        return ""
    return (
        f" {found.name} sets the replicas ({found.basis}): raise its maximum, or change what it scales by; what is"
        " written into spec.replicas is taken back."
    )
