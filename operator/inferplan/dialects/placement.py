"""Which GPUs a pod asks for: its node selector, node affinity and limits. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from inferplan.dialects.untyped import mapping, mappings, text
from inferplan.domain.gpus_labels import from_labels, requested, with_profile
from inferplan.domain.hardware import Accelerator, from_catalogue


def accelerator_of(pod_spec: Mapping[str, Any], limits: Mapping[str, str], product: str | None = None) -> Accelerator:
    """The GPUs of a pod's container, as far as the pod itself says.

    Args:
        pod_spec: The mapping with nodeSelector and affinity.
        limits: The container's resource limits.
        product: The GPU, where somebody names it.
    """
    wanted = requested(limits)
    if product is not None:
        named = from_catalogue(with_profile(product, wanted.product), wanted.count)
        return replace(named, shared=named.shared or wanted.shared)
    found = from_labels(dict(_labels(pod_spec)), wanted.product)
    known = "catalogue" if found.memory_mib is not None else "spec"
    source = known if found.product is not None else "unknown"
    return replace(found, count=wanted.count, source=source, shared=found.shared or wanted.shared)


def _labels(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Labels that a node needs for the pod: only those of which a single value will do."""
    affinity = mapping(mapping(mapping(pod_spec.get("affinity")).get("nodeAffinity")))
    terms = mappings(mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution")).get("nodeSelectorTerms"))
    if len(terms) == 1:  # any one of several terms is enough
        for wanted in mappings(terms[0].get("matchExpressions")):
            values = wanted.get("values")
            if wanted.get("operator") == "In" and isinstance(values, list) and len(values) == 1:
                yield text(wanted.get("key")), text(values[0])
    for name, value in mapping(pod_spec.get("nodeSelector")).items():
        yield text(name), text(value)
