"""The pretended hardware of a node and the Node object that announces it. Pure.

Labels are those of NVIDIA's GPU Feature Discovery and of AMD's node labeller, as their sources write them.
"""

from dataclasses import dataclass
from datetime import datetime

from inferplan_lab.node.documents import JsonObject, timestamp

NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"

# Compute capability (major, or major.minor) to GPU Feature Discovery's family name.
_FAMILIES = {
    "7": "volta",
    "7.5": "turing",
    "8": "ampere",
    "8.9": "ada-lovelace",
    "9": "hopper",
    "10": "blackwell",
    "12": "blackwell",
}
_DRIVER = ("580", "95", "05")  # a driver of the CUDA 13.0 line; the labels only need to be well-formed


@dataclass(frozen=True)
class Gpu:
    """The accelerators of one node.

    Attributes:
        product: the value of the product label.
        count: how many there are; 0 makes a node without accelerators.
        memory_mib: memory of one, in MiB.
        compute: NVIDIA's compute capability, `major.minor`.
        resource: the extended resource that counts them.
    """

    product: str = "NVIDIA-H100-80GB-HBM3"
    count: int = 8
    memory_mib: int = 81559
    compute: str = "9.0"
    resource: str = NVIDIA

    def labels(self) -> dict[str, str]:
        """Return the labels that the vendor's labeller would set."""
        if self.count == 0:
            return {}
        if self.resource == AMD:
            return {
                "amd.com/gpu.product-name": self.product,
                "amd.com/gpu.vram": f"{self.memory_mib // 1024}G",
                "amd.com/gpu.family": "AI",
            }
        return self._nvidia_labels()

    def _nvidia_labels(self) -> dict[str, str]:
        major, _, minor = self.compute.partition(".")
        return {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": self.product,
            "nvidia.com/gpu.memory": str(self.memory_mib),
            "nvidia.com/gpu.count": str(self.count),
            "nvidia.com/gpu.family": _FAMILIES.get(self.compute, _FAMILIES.get(major, "undefined")),
            "nvidia.com/gpu.compute.major": major,
            "nvidia.com/gpu.compute.minor": minor or "0",
            "nvidia.com/gpu.replicas": "1",
            "nvidia.com/gpu.machine": "inferplan-lab",
            "nvidia.com/mig.strategy": "single",
            "nvidia.com/cuda.driver-version.full": ".".join(_DRIVER),
            "nvidia.com/cuda.driver-version.major": _DRIVER[0],
            "nvidia.com/cuda.driver-version.minor": _DRIVER[1],
            "nvidia.com/cuda.driver-version.revision": _DRIVER[2],
        }


def node_manifest(name: str, gpu: Gpu) -> JsonObject:
    """Return the Node object without its status."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "inferplan-lab",
        **gpu.labels(),
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def node_status(gpu: Gpu, address: str, kubelet_port: int | None, now: datetime) -> JsonObject:
    """Return the status of a node that is ready.

    Args:
        gpu: its accelerators.
        address: the node's IP.
        kubelet_port: where its logs are served, None where they aren't.
        now: the time of the conditions.
    """
    resources = {"cpu": "192", "memory": "2Ti", "ephemeral-storage": "4Ti", "pods": "250"}
    if gpu.count:
        resources[gpu.resource] = str(gpu.count)
    status: JsonObject = {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": address}],
        "conditions": _conditions(now),
        "nodeInfo": _node_info(),
    }
    if kubelet_port is not None:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet_port}}
    return status


def _conditions(now: datetime) -> list[JsonObject]:
    times = {"lastHeartbeatTime": timestamp(now), "lastTransitionTime": timestamp(now)}
    ready = ("Ready", "True", "KubeletReady", "the node stand-in is ready")
    pressures = [
        (f"{kind}Pressure", "False", f"KubeletHasNo{kind}Pressure", "the node stand-in never has any")
        for kind in ("Memory", "Disk", "PID")
    ]
    return [
        {"type": kind, "status": status, "reason": reason, "message": message, **times}
        for kind, status, reason, message in (ready, *pressures)
    ]


def _node_info() -> JsonObject:
    """Return what `kubectl get nodes -o wide` shows; every field is required by the API."""
    return {
        "architecture": "amd64",
        "bootID": "",
        "containerRuntimeVersion": "inferplan-lab://1",
        "kernelVersion": "",
        "kubeProxyVersion": "",
        "kubeletVersion": "v1.37.2-inferplan-lab",
        "machineID": "",
        "operatingSystem": "linux",
        "osImage": "InferPlan lab",
        "systemUUID": "",
    }
