"""Who owns a container's command and args by server-side apply, and how they are handed back. Pure.

A plan that was forced over named managers took the fields from them. Once it is undone it has no business owning them:
a later `kubectl apply --server-side` of theirs would meet a conflict with InferPlan. Nobody can apply in another's name
without removing what else that manager set, so the entries of metadata.managedFields themselves are put right, as
client-go's csaupgrade does when kubectl moves from one way to apply to the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any

from inferplan.api.attempt import FieldOwner
from inferplan.dialects.untyped import mapping, mappings, scalar
from inferplan.domain.owner import OWN_MANAGER

OWNERS_MOST = 16
"""More managers of one list than anybody has; status.rollback.owners holds as many."""

_FIELDS = ("args", "command")
_TO_CONTAINERS = ("f:spec", "f:template", "f:spec", "f:containers")


def argument_owners(document: Mapping[str, Any], container: str) -> tuple[FieldOwner, ...]:
    """Entries of metadata.managedFields that hold the container's command or args.

    Args:
        document: A Deployment or StatefulSet.
        container: Name of the engine's container.
    """
    entries = mappings(mapping(document.get("metadata")).get("managedFields"))
    owners = (_owner(entry, fields) for entry in entries if (fields := _owned(entry, container)))
    return tuple(islice(owners, OWNERS_MOST))


def owned_by_us(owners: Iterable[FieldOwner]) -> tuple[str, ...]:
    """The fields that InferPlan holds."""
    return tuple(field for owner in owners if owner.manager == OWN_MANAGER for field in owner.fields)


def handed_back(
    document: Mapping[str, Any], container: str, earlier: Sequence[FieldOwner]
) -> Sequence[Mapping[str, Any]] | None:
    """metadata.managedFields with command and args where they were; None where nothing is to be handed back.

    What InferPlan held before already stays with it, and so does what nobody held.

    Args:
        document: The workload, restored.
        container: Name of the engine's container.
        earlier: Who held the fields before the plan.
    """
    others = [owner for owner in earlier if owner.manager != OWN_MANAGER]
    theirs = {field for owner in others for field in owner.fields} - set(owned_by_us(earlier))
    back = theirs & set(owned_by_us(argument_owners(document, container)))
    if not back:
        return None
    entries = [deepcopy(dict(entry)) for entry in mappings(mapping(document.get("metadata")).get("managedFields"))]
    for entry in entries:
        if entry.get("manager") == OWN_MANAGER:
            _take(entry, container, back)
    for owner in others:
        _give(_entry_of(entries, owner), container, [field for field in owner.fields if field in back])
    return [entry for entry in entries if entry.get("fieldsV1")]


def _owner(entry: Mapping[str, Any], fields: tuple[str, ...]) -> FieldOwner:
    named = (scalar(entry.get(name)) for name in ("manager", "operation", "apiVersion"))
    manager, operation, version = named
    return FieldOwner(manager=manager, operation=operation, api_version=version, fields=fields)


def _owned(entry: Mapping[str, Any], container: str) -> tuple[str, ...]:
    if entry.get("subresource"):
        return ()
    *_, found = _way(mapping(entry.get("fieldsV1")), container)
    return tuple(field for field in _FIELDS if f"f:{field}" in found)


def _way(fields: Mapping[str, Any], container: str) -> Iterator[Mapping[str, Any]]:
    """The nested sets of fields from the object down to the container; empty from where the entry has none."""
    yield fields
    for name in (*_TO_CONTAINERS, _key(container)):
        fields = mapping(fields.get(name))
        yield fields


def _key(container: str) -> str:
    return f'k:{{"name":"{container}"}}'


def _take(entry: dict[str, Any], container: str, fields: Iterable[str]) -> None:
    """Fields go from an entry, and with the last of them the container: who holds no field of it holds not it."""
    sets = [found for found in _way(entry["fieldsV1"], container) if isinstance(found, dict)]
    for field in fields:
        sets[-1].pop(f"f:{field}", None)
    names = (*_TO_CONTAINERS, _key(container))
    for parent, name in zip(reversed(sets[:-1]), reversed(names), strict=True):
        if not parent.get(name, {}).keys() - {".", "f:name"}:
            parent.pop(name, None)


def _give(entry: dict[str, Any], container: str, fields: Iterable[str]) -> None:
    found = entry["fieldsV1"]
    for name in (*_TO_CONTAINERS, _key(container)):
        found = found.setdefault(name, {})
    found.update({f"f:{field}": {} for field in fields})


def _entry_of(entries: list[dict[str, Any]], owner: FieldOwner) -> dict[str, Any]:
    """The manager's entry; a new one where it held nothing else."""
    identity = {"manager": owner.manager, "operation": owner.operation, "apiVersion": owner.api_version}
    for entry in entries:
        if not entry.get("subresource") and identity.items() <= entry.items():
            return entry
    entries.append({**identity, "fieldsType": "FieldsV1", "fieldsV1": {}})
    return entries[-1]
