"""Which GPUs a node has, and which share of them a container gets, from labels and resource names."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from inferplan.domain.gpu import GPU
from inferplan.domain.gpus import by_device_id
from inferplan.domain.gpus_choice import candidates, identify, of_nvml
from inferplan.domain.gpus_names import read_name
from inferplan.domain.hardware import Accelerator, accelerator_with, canonical_product

_PRODUCTS = (
    # Labels that name the GPU, the surest first. GPU Feature Discovery; AMD's node labeller (ROCm/k8s-device-plugin);
    # Karpenter on AWS, EKS auto mode, Karpenter on Azure; CoreWeave; cluster autoscaler on AWS.
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "karpenter.azure.com/sku-gpu-name",
    "gpu.nvidia.com/model",
    "k8s.amazonaws.com/accelerator",
)
_DEVICE_IDS = ("amd.com/gpu.device-id", "beta.amd.com/gpu.device-id")
_COUNTED = re.compile(r"beta\.amd\.com/gpu\.(device-id|product-name)\.(.+)")
_GKE = "cloud.google.com/gke-accelerator"
_GKE_NAMES = MappingProxyType(
    {
        # cloud.google.com/kubernetes-engine/docs/concepts/gpus: machine types have one kind of GPU each.
        "nvidia-tesla-t4": "Tesla-T4",
        "nvidia-tesla-v100": "Tesla-V100-SXM2-16GB",
        "nvidia-tesla-a100": "NVIDIA-A100-SXM4-40GB",
        "nvidia-a100-80gb": "NVIDIA-A100-SXM4-80GB",
        "nvidia-h100-80gb": "NVIDIA-H100-80GB-HBM3",
        "nvidia-h100-mega-80gb": "NVIDIA-H100-80GB-HBM3",
        "nvidia-h200-141gb": "NVIDIA-H200",
        "nvidia-rtx-pro-6000": "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition",
    }
)
_INSTANCE_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_INSTANCES = (
    # Instance types of which the cloud's documentation names the GPU. AWS; Google; Azure. Types with parts of a GPU
    # (g6f, NVadsA10_v5) are left out.
    (re.compile(r"p3dn\."), "Tesla-V100-SXM2-32GB"),
    (re.compile(r"p3\."), "Tesla-V100-SXM2-16GB"),
    (re.compile(r"p4d\.|a2-(high|mega)gpu-|standard_nd96asr_v4"), "NVIDIA-A100-SXM4-40GB"),
    (re.compile(r"p4de\.|a2-ultragpu-|standard_nd96amsr_a100_v4"), "NVIDIA-A100-SXM4-80GB"),
    (re.compile(r"standard_nc\d+ads_a100_v4"), "NVIDIA-A100-80GB-PCIe"),
    (re.compile(r"p5\.|a3-(high|mega|edge)gpu-|standard_nd96isr_h100_v5"), "NVIDIA-H100-80GB-HBM3"),
    (re.compile(r"standard_nc\d+adi?s_h100_v5"), "NVIDIA-H100-NVL"),
    (re.compile(r"p5en?\.|a3-ultragpu-|standard_nd96isr_h200_v5"), "NVIDIA-H200"),
    (re.compile(r"p6-b200\.|a4-highgpu-"), "NVIDIA-B200"),
    (re.compile(r"p6-b300\."), "NVIDIA-B300-SXM6-AC"),
    (re.compile(r"p6e-gb200\.|a4x-highgpu-"), "NVIDIA-GB200"),
    (re.compile(r"g4dn\.|standard_nc\d+as_t4_v3"), "Tesla-T4"),
    (re.compile(r"g5\."), "NVIDIA-A10G"),
    (re.compile(r"gr?6\.|g2-standard-"), "NVIDIA-L4"),
    (re.compile(r"g6e\."), "NVIDIA-L40S"),
    (re.compile(r"g7e\.|g4-standard-"), "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"),
    (re.compile(r"standard_nd96isr_mi300x_v5"), "AMD-Instinct-MI300X"),
)
_WHOLE = ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/gpu.shared")
_SLICE = re.compile(r"nvidia\.com/(mig-[1-7]g\.\d{1,3}gb)(?:\.me(?:\.all)?)?(\.shared)?")
_DIGITS = 10
_VRAM = ("amd.com/gpu.vram", "beta.amd.com/gpu.vram")


def requested(limits: Mapping[str, str]) -> Accelerator:
    """GPUs, or MIG slices, that a container asks for; a slice is in the product: "mig-3g.40gb"."""
    for resource, number in limits.items():
        found = _SLICE.fullmatch(resource)
        if found is not None and _is_number(number):
            return Accelerator(found[1], int(number), shared=found[2] is not None)
    for resource in _WHOLE:
        number = limits.get(resource, "")
        if _is_number(number):
            return Accelerator(count=int(number), shared=resource.endswith(".shared"))
    return Accelerator()


def with_profile(product: str, profile: str | None) -> str:
    """The product with the MIG slice that a container asks for, unless it names one: "…-MIG-3g.40gb"."""
    if not product or profile is None or read_name(product).mig is not None:
        return product
    return f"{product}-{profile.replace('mig', 'MIG')}"


def from_labels(labels: Mapping[str, str], profile: str | None = None) -> Accelerator:
    """What a node's labels say of its GPUs.

    Args:
        labels: The node's.
        profile: The MIG slice that the container asks for ("mig-3g.40gb"), where the node has several kinds.
    """
    gpus, name = _named(labels, profile)
    memory_mib, capability = _nvml_memory(labels, profile), _capability(labels)
    if memory_mib is not None and (gpus or capability is not None or not name):
        gpu = of_nvml(name, gpus, memory_mib, capability)
    else:
        gpu = identify(name, gpus, _vram(labels)) if gpus else None
    found = accelerator_with(gpu, name or None, gpus)
    return replace(
        found,
        memory_mib=memory_mib or found.memory_mib,
        compute_capability=capability or found.compute_capability,
        source="nodeLabels" if name or memory_mib else "unknown",
        shared=_is_shared(labels),
    )


def _named(labels: Mapping[str, str], profile: str | None) -> tuple[tuple[GPU, ...], str]:
    """The GPUs that the labels may mean, and what they call them."""
    for device_id in (*(labels.get(key, "") for key in _DEVICE_IDS), *_counted(labels, "device-id")):
        gpus = by_device_id(device_id)
        if gpus:
            return gpus, gpus[0].name
    product = with_profile(_product(labels), profile)
    return (candidates(product), canonical_product(product)) if product else ((), "")


def _product(labels: Mapping[str, str]) -> str:
    """The product as some label spells it, "" without one."""
    gke = labels.get(_GKE, "")
    spelled = (
        *(labels.get(key, "") for key in _PRODUCTS),
        *_counted(labels, "product-name"),
        _GKE_NAMES.get(gke.lower(), gke),
        *(_instance(labels.get(key, "")) for key in _INSTANCE_TYPES),
    )
    product = next(filter(None, spelled), "")
    partition = labels.get("cloud.google.com/gke-gpu-partition-size")
    return f"{product}-MIG-{partition}" if product and partition else product


def _instance(instance_type: str) -> str:
    return next((gpu for pattern, gpu in _INSTANCES if pattern.match(instance_type.lower())), "")


def _counted(labels: Mapping[str, str], what: str) -> tuple[str, ...]:
    """AMD's older labels have the value in their key: beta.amd.com/gpu.device-id.74a1=8."""
    matches = filter(None, map(_COUNTED.fullmatch, labels))
    return tuple(match[2] for match in matches if match[1] == what)


def _nvml_memory(labels: Mapping[str, str], profile: str | None) -> int | None:
    """Memory in MiB: of the slice that is asked for, where the node has several kinds, else of one GPU."""
    keys = (f"nvidia.com/{profile}.memory",) if profile is not None else ("nvidia.com/gpu.memory",)
    return next(filter(None, (_count(labels.get(key, "")) for key in keys)), None)


def _vram(labels: Mapping[str, str]) -> float | None:
    """AMD's labeller rounds to whole GiB: "192G"."""
    found = next((labels[key] for key in _VRAM if labels.get(key)), "").upper().removesuffix("B").removesuffix("G")
    return _count(found)


def _capability(labels: Mapping[str, str]) -> int | None:
    major, minor = labels.get("nvidia.com/gpu.compute.major", ""), labels.get("nvidia.com/gpu.compute.minor", "")
    return int(major) * 10 + int(minor) if _is_number(major) and _is_number(minor) else None


def _is_shared(labels: Mapping[str, str]) -> bool:
    """Time slicing or MPS: GPU Feature Discovery's suffix, strategy and replicas; GKE's strategy."""
    return (
        labels.get("nvidia.com/gpu.product", "").endswith("-SHARED")
        or labels.get("nvidia.com/gpu.sharing-strategy", "none") not in {"none", ""}
        or (_count(labels.get("nvidia.com/gpu.replicas", "")) or 1) > 1
        or bool(labels.get("cloud.google.com/gke-gpu-sharing-strategy"))
    )


def _count(text: str) -> int | None:
    """A whole number above zero; None for anything else."""
    return int(text) or None if _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < _DIGITS
