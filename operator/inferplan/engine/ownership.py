"""What a plan must say of those who keep the workload as it is: where the change has to be made as well. Pure."""

from collections.abc import Iterable

from inferplan.api.values import Optimization
from inferplan.domain.owner import OwnedField, Owner

_LIST_MAX = 8  # prerequisites that a plan holds
_KUBECTL = "kubectl"


def with_owners(optimizations: Iterable[Optimization], owners: tuple[Owner, ...]) -> tuple[Optimization, ...]:
    """The optimizations, each with what its owners ask for first."""
    first = tuple(sentence for owner in owners if (sentence := _sentence(owner)) is not None)
    return tuple(
        entry.model_copy(update={"prerequisites": (*first, *entry.prerequisites)[:_LIST_MAX]})
        for entry in optimizations
    )


def _sentence(owner: Owner) -> str | None:
    """Where the change has to be made; None for who keeps what a plan does not touch."""
    if owner.owned is OwnedField.REPLICAS:
        return None
    if owner.reconciles:
        return (
            f"{owner.name} keeps this workload as its source has it ({owner.basis}): make the change there; what is"
            " changed beside it is taken back."
        )
    if owner.name.startswith(_KUBECTL):
        return (
            f"The arguments were written with kubectl ({owner.basis}): a file that is applied again has to change too."
        )
    return f"{owner.name} wrote this ({owner.basis}): change its values too, or its next run undoes the change."
