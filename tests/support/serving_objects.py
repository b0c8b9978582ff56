"""Workloads on a real API server without a kubelet: pods that the tests make ready by hand."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.lab import Cluster
from tests.support.world import GPU_LABELS, container, instance

from inferplan_lab.processes import wait_until

PATIENCE_SECONDS = 30
NODE = "inferplan-test-gpu"
POD_ADDRESS = "127.0.0.9"
"""Of every pod: a loopback address on which nothing listens, unless a test does."""


def gpu_node(cluster: Cluster) -> None:
    """A node with an H100, as GPU Feature Discovery labels it."""
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": GPU_LABELS}})


def workload(name: str = "llama", *args: str, kind: str = "Deployment", **changes: Any) -> dict[str, Any]:
    """A workload of one pod that runs vLLM."""
    labels = {"app": name}
    extra = {"serviceName": name} if kind == "StatefulSet" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            **extra,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(*args, **changes)]}},
        },
    }


def inference_instance(name: str = "llama", **spec: Any) -> dict[str, Any]:
    """An InferenceInstance on the workload of the same name."""
    document = instance(**{"targetRef": {"name": name}, **spec})
    document["metadata"] = {"name": name}
    return document


def ready_pod(cluster: Cluster, namespace: str, name: str = "llama", *, args: tuple[str, ...] = ()) -> str:
    """Binds the workload's pod to the node and makes it ready; its name. `args`: wait for a pod with these."""
    found: list[str] = []

    def there() -> bool:
        listed = cluster.kubectl("get", "pods", f"--namespace={namespace}", f"--selector=app={name}", "--output=json")
        found[:] = [pod["metadata"]["name"] for pod in json.loads(listed)["items"] if _runs(pod, args)]
        return bool(found)

    wait_until(there, PATIENCE_SECONDS, f"a pod of {name}")
    pod = found[0]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    }
    cluster.send("create", f"/api/v1/namespaces/{namespace}/pods/{pod}/binding", binding)
    status = {"podIP": POD_ADDRESS, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    patch = json.dumps({"status": status})
    cluster.kubectl(
        "patch", "pod", pod, f"--namespace={namespace}", "--subresource=status", "--type=merge", f"--patch={patch}"
    )
    return pod


def _runs(pod: Mapping[str, Any], args: tuple[str, ...]) -> bool:
    going = "deletionTimestamp" in pod["metadata"]
    return not going and set(args) <= set(pod["spec"]["containers"][0]["args"])
