"""An InferenceInstance as the API server answered it, and its key in the queue. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from inferplan.api.instance import InstanceSpec

_MESSAGE_LENGTH = 1000


class Key(NamedTuple):
    """Namespace and name of an instance."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Instance:
    """One instance.

    Attributes:
        key: Namespace and name.
        uid: Identity; a deleted and recreated instance has another.
        generation: metadata.generation of the spec that was read.
        spec: The spec, or the sentence why it cannot be used.
        status: The status as it is stored, unread: somebody else may have written it.
        annotations: metadata.annotations.
    """

    key: Key
    uid: str
    generation: int
    spec: InstanceSpec | str
    status: Mapping[str, Any]
    annotations: Mapping[str, Any] = field(default_factory=dict)


def read_instance(document: Mapping[str, Any]) -> Instance:
    """Reads what the API server answered; a spec that is none becomes a sentence."""
    meta = document["metadata"]
    return Instance(
        key=Key(meta["namespace"], meta["name"]),
        uid=meta["uid"],
        generation=int(meta.get("generation") or 0),
        spec=_spec(document.get("spec")),
        status=document.get("status") or {},
        annotations=meta.get("annotations") or {},
    )


def _spec(spec: Mapping[str, Any] | None) -> InstanceSpec | str:
    try:
        return InstanceSpec.from_kube(spec or {})
    except ValidationError as error:
        return "; ".join(_sentence(finding) for finding in error.errors()[:3])[:_MESSAGE_LENGTH]


def _sentence(finding: Mapping[str, Any]) -> str:
    place = ".".join(["spec", *(str(part) for part in finding["loc"])])
    value = repr(finding["input"])
    shown = value if len(value) <= 80 else f"{value[:77]}..."  # noqa: PLR2004  a line for people
    return f"{place}: {finding['msg']} (it is {shown})"
