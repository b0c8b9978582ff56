"""Create and keep the Node objects of this stand-in."""

import asyncio
import logging
from datetime import UTC, datetime

from inferplan_lab.node.api import CONNECTION_ERRORS, Api, ApiError
from inferplan_lab.node.documents import entries, spec_of
from inferplan_lab.node.hardware import Gpu, node_manifest, node_status

LOGGER = logging.getLogger(__name__)

_CHECK_SECONDS = 10.0
_CONFLICT = 409
# What the admission puts on a new node, and node-lifecycle-controller, which the lab doesn't run, takes away.
_NOT_READY = "node.kubernetes.io/not-ready"


async def register(api: Api, name: str, gpu: Gpu, address: str, kubelet_port: int | None) -> None:
    """Create the node, or bring the one of that name up to date.

    Raises:
        ApiError: the server refused.
    """
    path = f"/api/v1/nodes/{name}"
    manifest = node_manifest(name, gpu)
    try:
        node = await api.create("/api/v1/nodes", manifest)
    except ApiError as error:
        if error.status != _CONFLICT:
            raise
        node = await api.patch(path, {"metadata": {"labels": manifest["metadata"]["labels"]}})
    taints = entries(spec_of(node), "taints")
    kept = [taint for taint in taints if taint["key"] != _NOT_READY]
    if len(kept) < len(taints):
        await api.patch(path, {"spec": {"taints": kept or None}})
    await api.patch(f"{path}/status", {"status": node_status(gpu, address, kubelet_port, datetime.now(UTC))})


async def keep_registered(api: Api, name: str, gpu: Gpu, address: str, kubelet_port: int | None) -> None:
    """Create the node again whenever it is gone, for ever."""
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        try:
            if await api.find(f"/api/v1/nodes/{name}") is None:
                await register(api, name, gpu, address, kubelet_port)
        except (ApiError, *CONNECTION_ERRORS) as error:
            LOGGER.info("node %s: %s", name, error)
