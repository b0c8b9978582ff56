"""Kubernetes resource quantities and what a pod requests in all."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from inferplan_lab.node.documents import entries, is_sidecar

Resources = dict[str, Decimal]

# Suffixes of resource.Quantity (Kubernetes API reference, "Quantity").
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def parse_quantity(text: str | float) -> Decimal:
    """Return a quantity such as `8`, `500m`, `64Gi` or `1e3` in its base unit.

    Raises:
        ValueError: it isn't a quantity.
    """
    plain = str(text).strip()
    try:
        for length in (2, 1):
            if plain[-length:] in _SUFFIXES:
                return Decimal(plain[:-length]) * _SUFFIXES[plain[-length:]]
        return Decimal(plain)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a quantity; expected a number with an optional suffix") from None


def container_requests(container: Mapping[str, Any]) -> Resources:
    """Return what one container requests; a limit without a request counts as the request."""
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(value) for name, value in merged.items()}


def pod_requests(pod_spec: Mapping[str, Any]) -> Resources:
    """Return what a pod requests: the larger of what runs together and of each init step, plus overhead.

    Sidecars run on, so they count both beside the main containers and beside the init containers that follow them.
    One pod is also one of the node's `pods`.
    """
    running = total(container_requests(container) for container in entries(pod_spec, "containers"))
    sidecars: Resources = {}
    peak: Resources = {}
    for container in entries(pod_spec, "initContainers"):
        step = total((sidecars, container_requests(container)))
        peak = _larger(peak, step)
        if is_sidecar(container):
            sidecars = step
    overhead = {name: parse_quantity(value) for name, value in (pod_spec.get("overhead") or {}).items()}
    return total((_larger(peak, total((running, sidecars))), overhead, {"pods": Decimal(1)}))


def total(parts: Iterable[Mapping[str, Decimal]]) -> Resources:
    """Add the resources up by name."""
    result: Resources = {}
    for part in parts:
        for name, amount in part.items():
            result[name] = result.get(name, Decimal(0)) + amount
    return result


def _larger(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> Resources:
    zero = Decimal(0)
    return {name: max(one.get(name, zero), other.get(name, zero)) for name in {**one, **other}}
