"""What a node stand-in is started with."""

from dataclasses import dataclass, field
from pathlib import Path

from inferplan_lab.node.hardware import Gpu


@dataclass(frozen=True)
class NodeConfig:
    """The settings of one process that pretends to be one or several nodes.

    Attributes:
        kubeconfig: how to reach the API server.
        state: folder of this process alone: scratch folders, logs, what it started.
        name: the node's name; with several nodes NAME-0, NAME-1, …
        nodes: how many nodes.
        gpu: the accelerators of each.
        images: the images file; None for the one that comes with the package.
        backoff_scale: factor on the waits before restarts.
        probe_scale: factor on the initial delays and periods of probes.
        kubelet_port: where the nodes serve logs to the API server.
    """

    kubeconfig: Path
    state: Path
    name: str = "lab-node"
    nodes: int = 1
    gpu: Gpu = field(default_factory=Gpu)
    images: Path | None = None
    backoff_scale: float = 1.0
    probe_scale: float = 1.0
    kubelet_port: int = 10250

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        if self.nodes == 1:
            return (self.name,)
        return tuple(f"{self.name}-{place}" for place in range(self.nodes))
