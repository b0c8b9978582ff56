"""Which GPUs a pod asks for: its node selector, node affinity and limits. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from inferplan.dialects.untyped import mapping, mappings, text
from inferplan.domain.hardware import Accelerator, from_catalogue

_PRODUCT_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator")
_GKE = {
    # cloud.google.com/gke-accelerator (cloud.google.com/kubernetes-engine/docs/how-to/gpus, list of GPU types).
    "nvidia-h100-80gb": "NVIDIA-H100-80GB-HBM3",
    "nvidia-h100-mega-80gb": "NVIDIA-H100-80GB-HBM3",
    "nvidia-h200-141gb": "NVIDIA-H200",
    "nvidia-b200": "NVIDIA-B200",
    "nvidia-gb200": "NVIDIA-GB200",
    "nvidia-a100-80gb": "NVIDIA-A100-SXM4-80GB",
    "nvidia-tesla-a100": "NVIDIA-A100-SXM4-40GB",
    "nvidia-l4": "NVIDIA-L4",
    "nvidia-tesla-t4": "Tesla-T4",
    "nvidia-rtx-pro-6000": "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition",
}
_AMD_DEVICE = "amd.com/gpu.device-id"
_AMD_PRODUCT = "amd.com/gpu.product-name"
_AMD_DEVICES = {
    # PCI device id (AMD's node labeller, ROCm/k8s-device-plugin) → product, memory in MiB (AMD's data sheets).
    "74a1": ("AMD-Instinct-MI300X", 192 * 1024),
    "74b5": ("AMD-Instinct-MI300X", 192 * 1024),
    "74a5": ("AMD-Instinct-MI325X", 256 * 1024),
    "75a3": ("AMD-Instinct-MI355X", 288 * 1024),
}
_AMD_NAMES = {
    "MI300X": _AMD_DEVICES["74a1"],
    "MI325X": _AMD_DEVICES["74a5"],
    "MI355X": _AMD_DEVICES["75a3"],
}
_GPU_LIMITS = ("nvidia.com/gpu", "amd.com/gpu")


def accelerator_of(pod_spec: Mapping[str, Any], limits: Mapping[str, str], product: str | None = None) -> Accelerator:
    """The GPUs of a pod's container, as far as the pod itself says.

    Args:
        pod_spec: The mapping with nodeSelector and affinity.
        limits: The container's resource limits.
        product: The GPU, where somebody names it.
    """
    count = next((int(limits[name]) for name in _GPU_LIMITS if limits.get(name, "").isdecimal()), None)
    labels = dict(_labels(pod_spec))
    if product is not None:
        return _named(product, count)
    amd = _AMD_DEVICES.get(labels.get(_AMD_DEVICE, "").lower()) or _amd_name(labels.get(_AMD_PRODUCT, ""))
    if amd is not None:
        return Accelerator(amd[0], count, amd[1], None, "catalogue")
    named = next((labels[name] for name in _PRODUCT_LABELS if labels.get(name)), None)
    return Accelerator(count=count) if named is None else _named(named, count)


def _named(product: str, count: int | None) -> Accelerator:
    amd = _amd_name(product)
    if amd is not None:
        return Accelerator(amd[0], count, amd[1], None, "catalogue")
    return from_catalogue(_GKE.get(product.lower(), product), count)


def _amd_name(product: str) -> tuple[str, int] | None:
    """`AMD_Instinct_MI300X_OAM` and other spellings of the labeller's versions."""
    return next((entry for name, entry in _AMD_NAMES.items() if name in product.upper()), None)


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
