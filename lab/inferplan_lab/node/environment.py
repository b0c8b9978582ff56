"""A container's environment variables, from its spec and the objects that it refers to. Pure."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from inferplan_lab.node.documents import JsonObject, entries, metadata, spec_of
from inferplan_lab.node.expansion import expand
from inferplan_lab.node.quantities import container_requests, parse_quantity


class MissingReferenceError(LookupError):
    """A container needs an object or a key that doesn't exist (yet)."""


@dataclass(frozen=True)
class References:
    """The objects of a pod's namespace which its spec names; absent ones are None.

    Attributes:
        config_map: a ConfigMap by name.
        secret: a Secret by name.
    """

    config_map: Callable[[str], JsonObject | None]
    secret: Callable[[str], JsonObject | None]

    def data(self, kind: str, name: str, *, optional: bool) -> dict[str, bytes] | None:
        """Return an object's keys and values.

        Args:
            kind: `configmap` or `secret`.
            name: the object's name.
            optional: an absent object is None instead of an error.

        Raises:
            MissingReferenceError: the object doesn't exist and isn't optional.
        """
        thing = self.config_map(name) if kind == "configmap" else self.secret(name)
        if thing is None:
            if optional:
                return None
            raise MissingReferenceError(f'{kind} "{name}" not found')
        return _decoded(kind, thing)


def _decoded(kind: str, thing: JsonObject) -> dict[str, bytes]:
    plain = thing.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in plain.items()}
    binary = {key: base64.b64decode(value) for key, value in (thing.get("binaryData") or {}).items()}
    return {**{key: value.encode() for key, value in plain.items()}, **binary}


def container_env(
    container: Mapping[str, Any], pod: JsonObject, addresses: Mapping[str, str], references: References
) -> dict[str, str]:
    """Return the variables of a container, envFrom first, `$(NAME)` expanded over those before.

    Args:
        container: its spec.
        pod: the pod, for fieldRef.
        addresses: `status.podIP` and `status.hostIP`, which the pod object may not hold yet.
        references: the ConfigMaps and Secrets of the namespace.

    Raises:
        MissingReferenceError: an object or a key that isn't optional is absent.
    """
    variables: dict[str, str] = {}
    for source in entries(container, "envFrom"):
        variables.update(_from_object(source, references))
    for entry in entries(container, "env"):
        value = _value(entry, container, pod, addresses, references)
        if value is not None:
            variables[entry["name"]] = expand(value, variables) if "valueFrom" not in entry else value
    return variables


def _from_object(source: Mapping[str, Any], references: References) -> dict[str, str]:
    kind, reference = (
        ("configmap", source["configMapRef"]) if "configMapRef" in source else ("secret", source["secretRef"])
    )
    data = references.data(kind, reference["name"], optional=bool(reference.get("optional")))
    prefix = source.get("prefix") or ""
    return {prefix + key: value.decode() for key, value in (data or {}).items()}


def _value(
    entry: Mapping[str, Any],
    container: Mapping[str, Any],
    pod: JsonObject,
    addresses: Mapping[str, str],
    references: References,
) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value") or "")
    if "fieldRef" in source:
        return field_value(source["fieldRef"]["fieldPath"], pod, addresses)
    if "resourceFieldRef" in source:
        return resource_value(source["resourceFieldRef"], container)
    kind = "configmap" if "configMapKeyRef" in source else "secret"
    return _key(kind, source["configMapKeyRef" if kind == "configmap" else "secretKeyRef"], references)


def _key(kind: str, reference: Mapping[str, Any], references: References) -> str | None:
    optional = bool(reference.get("optional"))
    data = references.data(kind, reference["name"], optional=optional)
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode()
    if optional:
        return None
    raise MissingReferenceError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def field_value(path: str, pod: JsonObject, addresses: Mapping[str, str]) -> str:
    """Return a field of the pod as the downward API gives it; all labels come as `key="value"` lines.

    Raises:
        MissingReferenceError: the downward API has no such field.
    """
    meta, spec = metadata(pod), spec_of(pod)
    plain = {
        "metadata.name": meta.get("name"),
        "metadata.namespace": meta.get("namespace"),
        "metadata.uid": meta.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.podIP": addresses.get("status.podIP"),
        "status.podIPs": addresses.get("status.podIP"),
        "status.hostIP": addresses.get("status.hostIP"),
    }
    if path in plain:
        return str(plain[path] or "")
    for group in ("labels", "annotations"):
        values = meta.get(group) or {}
        if path == f"metadata.{group}":
            return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
        if path.startswith(f"metadata.{group}['") and path.endswith("']"):
            return str(values.get(path[len(f"metadata.{group}['") : -2], ""))
    raise MissingReferenceError(f"fieldRef {path}: not a field of the downward API")


def resource_value(reference: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return a limit or request of the container in units of the reference's divisor, rounded up."""
    kind, _, name = str(reference["resource"]).partition(".")
    stated = ((container.get("resources") or {}).get(kind) or {}).get(name)
    amount = parse_quantity(stated) if stated is not None else container_requests(container).get(name)
    divisor = parse_quantity(reference.get("divisor") or "1") or Decimal(1)
    return str((amount / divisor).to_integral_value(ROUND_CEILING)) if amount else "0"
