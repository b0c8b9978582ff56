"""A kubelet stand-in: pods of a real API server as processes of this machine.

It registers pretended nodes with pretended accelerators, binds pods to them (no scheduler runs in the lab) and runs
their containers as local processes with probes, restarts, logs and the status that a kubelet would write.
docs/decisions/0006-the-node-stand-in.md says why, and what it cannot do.
"""

from inferplan_lab.node.api import ApiError
from inferplan_lab.node.config import NodeConfig
from inferplan_lab.node.hardware import Gpu
from inferplan_lab.node.images import ImageFileError
from inferplan_lab.node.node import Node, StateInUseError

__all__ = ["ApiError", "Gpu", "ImageFileError", "Node", "NodeConfig", "StateInUseError"]
