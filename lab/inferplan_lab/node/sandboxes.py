"""A pod's place on this machine: its address, its folders, its volumes, and how its containers are started."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferplan_lab.node.addresses import AddressPool
from inferplan_lab.node.api import CONNECTION_ERRORS, Api, ApiError
from inferplan_lab.node.config import NodeConfig
from inferplan_lab.node.documents import JsonObject, metadata, status_of, uid_of
from inferplan_lab.node.environment import MissingReferenceError, container_env
from inferplan_lab.node.images import ImageRule
from inferplan_lab.node.launch import Launch, Sandbox, plan_launch
from inferplan_lab.node.references import ReferenceReader
from inferplan_lab.node.volumes import container_mounts, materialize


@dataclass(frozen=True)
class Host:
    """The node that a pod runs on.

    Attributes:
        config: its settings.
        address: its IP.
        api: the API server.
        pool: the addresses of pods.
        rules: the images.
        mark: the mark of its processes.
    """

    config: NodeConfig
    address: str
    api: Api
    pool: AddressPool
    rules: tuple[ImageRule, ...]
    mark: str


class PodSandbox:
    """The place of one pod; keeps its address until closed."""

    def __init__(self, pod: JsonObject, host: Host) -> None:
        self.ip = host.pool.take(uid_of(pod), str(status_of(pod).get("podIP", "")))
        self.volumes: dict[str, Path] | None = None  # None until they are set up
        self._host = host
        self._scratch = host.config.state / "scratch" / uid_of(pod)
        self._references = ReferenceReader(host.api, str(metadata(pod)["namespace"]))
        self._addresses = {"status.podIP": self.ip, "status.hostIP": host.address}

    async def set_up_volumes(self, pod: JsonObject) -> None:
        """Write the pod's volumes.

        Raises:
            MissingReferenceError: an object that a volume needs is absent, or the API can't be asked.
        """
        claims = self._host.config.state / "claims"
        try:
            sources = await self._references.volume_sources(pod, self._addresses, claims)
        except (*CONNECTION_ERRORS, ApiError) as problem:
            raise MissingReferenceError(f"the API server did not answer: {problem}") from problem
        self.volumes = materialize(pod, self._scratch, sources)

    async def prepare(self, pod: JsonObject, container: Mapping[str, Any]) -> Launch:
        """Make a container's launch out of what the API holds now.

        Raises:
            MissingReferenceError: an object that it needs is absent, or the API can't be asked.
            UnknownImageError: nothing says what to run.
        """
        try:
            references = await self._references.for_container(container)
        except (*CONNECTION_ERRORS, ApiError) as problem:
            raise MissingReferenceError(f"the API server did not answer: {problem}") from problem
        variables = container_env(container, pod, self._addresses, references)
        host, _, port = self._host.api.server.rpartition("//")[2].rpartition(":")
        sandbox = Sandbox(
            pod=pod,
            pod_ip=self.ip,
            host_ip=self._host.address,
            gpu=self._host.config.gpu,
            scratch=self._scratch,
            api_server=(host, port),
            mark=self._host.mark,
            rules=self._host.rules,
        )
        return plan_launch(container, variables, container_mounts(container, self.volumes or {}), sandbox)

    def remove_files(self) -> None:
        """Delete the pod's folders; its logs stay."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def close(self) -> None:
        """Give the address back."""
        self._host.pool.give_back(self.ip)
