"""Reads everything about one instance: workload, pods, nodes, model, version, metrics. I/O, no decisions."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from inferplan.api.instance import InstanceSpec, TargetRef
from inferplan.api.reasons import Reason
from inferplan.engine.identity import args_digest
from inferplan.kube.errors import ForbiddenError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import CONFIG_MAPS, NODES, PODS, WORKLOADS
from inferplan.observe.assemble import Assembled, Sources, assemble, check_selector
from inferplan.observe.config_maps import read_config_maps
from inferplan.observe.measuring import Measurer, port_of
from inferplan.observe.reduce import Measurements
from inferplan.observe.target import Pod, TargetError, Workload, config_maps_of, read_workload, ready_pods

NODES_READ = 16
"""Nodes whose labels are read: pods of one workload on more different ones are taken to be alike."""

VERSION_ATTEMPTS = 3
"""Pods that are asked for their version before it counts as unknown."""

_REMEMBERED_PODS = 10_000


class VersionProbe(Protocol):
    """Asks an engine for its version; None when it does not say."""

    async def version(self, address: str, port: int) -> str | None:
        """What the engine at this address answers."""
        ...


@dataclass(frozen=True)
class Gathered:
    """What was read of one instance.

    Attributes:
        assembled: Observation without metrics on top: engine, settings, hardware, model.
        measured: What Prometheus said.
        workload: The target; None where the spec names none.
        pods: Its ready pods.
        notes: What could not be read and does no harm, each a sentence.
        model_problem: Why the model's ConfigMap gives no config.json.
    """

    assembled: Assembled
    measured: Measurements
    workload: Workload | None
    pods: tuple[Pod, ...]
    notes: tuple[str, ...]
    model_problem: str | None

    @property
    def args_digest(self) -> str | None:
        """Digest of the engine's present arguments; None without a workload."""
        workload = self.workload
        return None if workload is None else args_digest(workload.container.command, workload.container.args)


class Gatherer:
    """Reads instances.

    Args:
        cluster: The API server.
        measurer: Asks the source of metrics.
        engines: How to ask an engine for its version.
    """

    def __init__(
        self,
        cluster: Cluster,
        measurer: Measurer,
        engines: VersionProbe,
    ) -> None:
        self._cluster = cluster
        self._measurer = measurer
        self._engines = engines
        self._versions: dict[str, str] = {}

    async def gather(self, namespace: str, spec: InstanceSpec) -> Gathered:
        """Reads one instance.

        Raises:
            TargetError: The workload cannot be used.
            SpecError: A key of the spec is unknown, or a label of its selector is none.
            KubeError: The API server gave no proper answer.
        """
        check_selector(spec.metrics.selector)
        config, model_problem = await self._model_config(namespace, spec)
        sources = Sources(spec=spec, model_config=config)
        read = assemble(sources)  # a spec that cannot be used is said before anything else
        workload: Workload | None = None
        pods: tuple[Pod, ...] = ()
        notes: tuple[str, ...] = ()
        if spec.target_ref is not None:
            workload, unread = await self._workload(namespace, spec.target_ref, spec)
            pods = await self._pods(namespace, workload)
            labels, unlabelled = await self._node_labels(pods)
            notes = (*unread, *unlabelled)
            sources = replace(sources, container=workload.container, node_labels=labels, owners=workload.owners)
            read = assemble(replace(sources, running_version=await self._version(sources, workload, pods)))
        measured, history = await self._measurer.measure(namespace, spec, read, workload, pods)
        observation = replace(
            read.observation,
            metrics=measured.metrics,
            replica_metrics=measured.replica_metrics,
            history=history,
            replicas=measured.replicas if workload is not None else None,
        )
        return Gathered(replace(read, observation=observation), measured, workload, pods, notes, model_problem)

    async def beside(self, namespace: str, spec: InstanceSpec, gathered: Gathered, ref: TargetRef) -> Measurements:
        """What another workload measures in the same window, in the way in which the instance is measured.

        Args:
            namespace: Of both.
            spec: The instance's.
            gathered: What was read of the instance.
            ref: The other workload, a canary.

        Raises:
            TargetError: It cannot be used.
            KubeError: The API server gave no proper answer.
        """
        workload, _ = await self._workload(namespace, ref, spec)
        pods = await self._pods(namespace, workload)
        measured, _ = await self._measurer.measure(namespace, spec, gathered.assembled, workload, pods)
        return measured

    async def _workload(self, namespace: str, ref: TargetRef, spec: InstanceSpec) -> tuple[Workload, tuple[str, ...]]:
        """The workload, and what of its engine's configuration could not be read."""
        place = f'{ref.kind} "{ref.name}"'
        try:
            document = await self._cluster.get(WORKLOADS[ref.kind], namespace, ref.name)
        except NotFoundError:
            raise TargetError(Reason.TARGET_NOT_FOUND, f'{place} does not exist in namespace "{namespace}"') from None
        except ForbiddenError:
            raise TargetError(Reason.ACCESS_DENIED, f"the operator may not read {place}") from None
        maps, notes = await read_config_maps(self._cluster, namespace, config_maps_of(document, ref))
        return read_workload(document, ref, spec.engine, maps), notes

    async def _pods(self, namespace: str, workload: Workload) -> tuple[Pod, ...]:
        try:
            documents = await self._cluster.list(PODS, namespace, workload.selector)
        except ForbiddenError:
            why = f'the operator may not list the pods of {workload.kind} "{workload.name}"'
            raise TargetError(Reason.ACCESS_DENIED, why) from None
        return ready_pods(documents, workload)

    async def _node_labels(self, pods: tuple[Pod, ...]) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Labels that all nodes of the pods share: different GPUs leave the product unknown."""
        names = sorted({pod.node for pod in pods if pod.node})[:NODES_READ]
        try:
            documents = await asyncio.gather(*(self._cluster.get(NODES, None, name) for name in names))
        except NotFoundError:
            return {}, ("a pod's node does not exist any more",)
        except ForbiddenError:
            return {}, ("the operator may not read nodes: set spec.accelerator",)
        labels = [(document.get("metadata") or {}).get("labels") or {} for document in documents]
        shared = {key: value for key, value in (labels[0] if labels else {}).items() if _all_have(labels, key, value)}
        products = sorted({entry["nvidia.com/gpu.product"] for entry in labels if "nvidia.com/gpu.product" in entry})
        mixed = (f"its pods run on different GPUs ({', '.join(products)}): set spec.accelerator",)
        return shared, mixed if len(products) > 1 else ()

    async def _model_config(self, namespace: str, spec: InstanceSpec) -> tuple[Mapping[str, Any] | None, str | None]:
        """config.json out of a ConfigMap, and why there is none."""
        ref = spec.model.config_map_ref if spec.model is not None else None
        if ref is None:
            return None, None
        place = f'spec.model.configMapRef: ConfigMap "{ref.name}"'
        try:
            document = await self._cluster.get(CONFIG_MAPS, namespace, ref.name)
        except NotFoundError:
            return None, f"{place} does not exist"
        except ForbiddenError:
            return None, f"{place} may not be read by the operator"
        data = document.get("data") or {}
        if ref.key not in data:
            return None, f'{place} has no key "{ref.key}"; it has: {", ".join(sorted(data)) or "none"}'
        return _parsed(data[ref.key], f'{place}, key "{ref.key}"')

    async def _version(self, sources: Sources, workload: Workload | None, pods: tuple[Pod, ...]) -> str | None:
        """The engine's own answer, remembered per pod: it cannot change while the pod lives."""
        if sources.spec.engine_version is not None:
            return None
        known = next((self._versions[pod.uid] for pod in pods if pod.uid in self._versions), None)
        if known is not None:
            return known
        port = port_of(assemble(sources), workload)
        for pod in [pod for pod in pods if pod.address][:VERSION_ATTEMPTS]:
            version = await self._engines.version(pod.address, port)
            if version is not None:
                self._remember(pod.uid, version)
                return version
        return None

    def _remember(self, uid: str, version: str) -> None:
        if len(self._versions) >= _REMEMBERED_PODS:
            self._versions.clear()
        self._versions[uid] = version


def _all_have(labels: list[dict[str, str]], key: str, value: str) -> bool:
    return all(entry.get(key) == value for entry in labels)


def _parsed(text: str, place: str) -> tuple[Mapping[str, Any] | None, str | None]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return None, f"{place} is no JSON"
    return (config, None) if isinstance(config, dict) else (None, f"{place} is no JSON object")
