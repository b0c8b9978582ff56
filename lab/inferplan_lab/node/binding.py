"""Bind unbound pods to the nodes of this stand-in, in the place of kube-scheduler."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from inferplan_lab.node.api import CONNECTION_ERRORS, Api, ApiError
from inferplan_lab.node.documents import JsonObject, entries, metadata, pod_label, status_of, uid_of
from inferplan_lab.node.fitting import Fit, choose_node, is_ours_to_bind
from inferplan_lab.node.status import unschedulable_condition

LOGGER = logging.getLogger(__name__)

_ROUND_SECONDS = 2.0  # a node's labels or cordon can change without any pod changing


class Binder:
    """Looks at the pods after each change and now and then; `run` never ends by itself."""

    def __init__(self, api: Api, names: tuple[str, ...], pods: Callable[[], Iterable[JsonObject]]) -> None:
        self._api = api
        self._names = names
        self._pods = pods
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Bind for ever, through outages of the API server."""
        while True:
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                LOGGER.debug("nothing changed; looking at unbound pods again")
            self._wake.clear()
            try:
                await self._round()
            except (ApiError, *CONNECTION_ERRORS) as error:
                LOGGER.info("binding: %s", error)
                await asyncio.sleep(1.0)

    async def _round(self) -> None:
        waiting = [pod for pod in self._pods() if is_ours_to_bind(pod)]
        if not waiting:
            return
        found = [await self._api.find(f"/api/v1/nodes/{name}") for name in self._names]
        nodes = [node for node in found if node is not None]
        for pod in sorted(waiting, key=lambda pod: (metadata(pod)["creationTimestamp"], metadata(pod)["name"])):
            choice = choose_node(pod, nodes, self._pods())
            if isinstance(choice, Fit):
                await self._bind(pod, choice.node)
            else:
                await self._refuse(pod, choice.message)

    async def _bind(self, pod: JsonObject, node: str) -> None:
        meta = metadata(pod)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._api.create(f"{_path(pod)}/binding", body)
        except ApiError as error:
            if error.status not in {404, 409}:  # gone, or bound by somebody else in the meantime
                raise
            LOGGER.info("%s: not bound: %s", pod_label(pod), error)
        else:
            # The watch will tell the same; until then the next pod must not count these resources as free.
            pod["spec"]["nodeName"] = node

    async def _refuse(self, pod: JsonObject, message: str) -> None:
        """Write why the pod stays pending, once."""
        for condition in entries(status_of(pod), "conditions"):
            if condition["type"] == "PodScheduled" and condition.get("message") == message:
                return
        conditions = unschedulable_condition(pod, message, datetime.now(UTC))
        body = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": conditions}}
        try:
            await self._api.patch(f"{_path(pod)}/status", body)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise


def _path(pod: JsonObject) -> str:
    meta = metadata(pod)
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
