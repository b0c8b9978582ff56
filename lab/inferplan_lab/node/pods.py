"""Run one pod of a node, from its binding to its removal: volumes, containers, status, deletion."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from inferplan_lab.node.api import CONNECTION_ERRORS, ApiError
from inferplan_lab.node.containers import ContainerRunner, Surroundings
from inferplan_lab.node.documents import (
    JsonObject,
    entries,
    is_being_deleted,
    is_finished,
    is_sidecar,
    metadata,
    pod_label,
    spec_of,
    status_of,
    uid_of,
)
from inferplan_lab.node.environment import MissingReferenceError
from inferplan_lab.node.records import Record, Waiting, killed_record, recovered
from inferplan_lab.node.sandboxes import Host, PodSandbox
from inferplan_lab.node.status import PodFacts, changed_fields, final_phase, pod_status

LOGGER = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0  # after a failed request
_COALESCE_SECONDS = 0.02  # changes that come together go out as one patch
_VANISHED_GRACE_SECONDS = 2.0  # for a pod whose object is gone already
_DEFAULT_GRACE_SECONDS = 30.0


class PodWorker:
    """One pod; `run` ends when the pod is gone from the API."""

    def __init__(self, pod: JsonObject, host: Host) -> None:
        self.pod = pod
        self._host = host
        self._api_path = f"/api/v1/namespaces/{metadata(pod)['namespace']}/pods/{metadata(pod)['name']}"
        self._label = f"{metadata(pod)['name']}_{metadata(pod)['namespace']}({uid_of(pod)})"
        self._sandbox = PodSandbox(pod, host)
        self._seen = datetime.now(UTC)
        self._dirty = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = asyncio.Event()
        self._stopped = False
        self._init = self._runners("initContainers", "initContainerStatuses")
        self._main = self._runners("containers", "containerStatuses")
        self._notice_deletion()

    def pids(self, container: str | None = None) -> tuple[int, ...]:
        """Return the main processes of the pod's containers that run, or of one of them."""
        runners = (*self._init, *self._main)
        wanted = [runner for runner in runners if container in {None, runner.record.name}]
        return tuple(runner.pid for runner in wanted if runner.pid is not None)

    def update(self, pod: JsonObject) -> None:
        """Take over a newer version of the pod."""
        if int(metadata(pod)["resourceVersion"]) > int(metadata(self.pod)["resourceVersion"]):
            self.pod = pod
            self._dirty.set()
            self._notice_deletion()

    def vanish(self) -> None:
        """Stop the pod, whose object is gone from the API."""
        self._gone.set()
        self._deleted.set()

    async def run(self) -> None:
        """Run the pod. Cancelling kills its processes and leaves its object as it is."""
        publisher = asyncio.create_task(self._publish_for_ever())
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._report_crash)
        try:
            await self._deleted.wait()
            await self._stop(work)
            await self._remove()
            await self._gone.wait()  # finalizers can hold it for long
        finally:
            for task in (work, publisher):
                task.cancel()
            await asyncio.gather(work, publisher, return_exceptions=True)
            self._sandbox.close()

    async def _work(self) -> None:
        """Run the pod's containers to their end."""
        if is_finished(self.pod) or self._deleted.is_set():
            return
        self._dirty.set()
        await self._set_up_volumes()
        sidecars: list[asyncio.Task[None]] = []
        try:
            if await self._initialize(sidecars):
                await asyncio.gather(*(runner.run() for runner in self._main))
            if not self._deleted.is_set():
                await self._stop_sidecars()
        except asyncio.CancelledError:
            for task in sidecars:
                task.cancel()
            raise
        finally:
            await asyncio.gather(*sidecars, return_exceptions=True)

    def _report_crash(self, work: asyncio.Task[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            LOGGER.error("%s: the stand-in failed: %r", pod_label(self.pod), error, exc_info=error)

    async def _initialize(self, sidecars: list[asyncio.Task[None]]) -> bool:
        """Run the init containers in order; say whether the main ones may start."""
        for runner, container in zip(self._init, entries(spec_of(self.pod), "initContainers"), strict=True):
            if is_sidecar(container):
                sidecars.append(asyncio.create_task(runner.run()))
                await runner.wait_started()
            elif not runner.record.succeeded:
                await runner.run()
                if not runner.record.succeeded:
                    return False
        return not self._deleted.is_set()

    async def _stop_sidecars(self) -> None:
        for runner, container in reversed(
            tuple(zip(self._init, entries(spec_of(self.pod), "initContainers"), strict=True))
        ):
            if is_sidecar(container):
                await runner.stop(self._grace_seconds())

    async def _set_up_volumes(self) -> None:
        while True:
            try:
                await self._sandbox.set_up_volumes(self.pod)
            except (MissingReferenceError, OSError) as problem:
                self._say_waiting(f"MountVolume.SetUp failed: {problem}")
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _say_waiting(self, message: str) -> None:
        LOGGER.info("%s: %s", pod_label(self.pod), message)
        for runner in (*self._init, *self._main):
            if isinstance(runner.record.state, Waiting):
                runner.explain_wait(message)

    async def _stop(self, work: asyncio.Task[None]) -> None:
        """Stop the main containers and the init step together, then the sidecars in reverse order."""
        grace = self._grace_seconds()
        steps = zip(self._init, entries(spec_of(self.pod), "initContainers"), strict=True)
        plain = [runner for runner, container in steps if not is_sidecar(container)]
        await asyncio.gather(*(runner.stop(grace) for runner in (*plain, *self._main)))
        await self._stop_sidecars()
        self._stopped = True
        if self._sandbox.volumes is None:
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        now = datetime.now(UTC)
        for runner in (*self._init, *self._main):
            runner.record = killed_record(runner.record, now)

    async def _remove(self) -> None:
        """Write the last status and delete the object for good, however long the API takes."""
        self._sandbox.remove_files()
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid_of(self.pod)}}
        while not self._gone.is_set():
            try:
                await self._publish()
                await self._host.api.delete(self._api_path, options)
            except ApiError as error:
                if error.status in {404, 409}:  # gone, or another pod of the same name
                    return
                LOGGER.warning("%s: delete: %s", pod_label(self.pod), error)
            except CONNECTION_ERRORS as error:
                LOGGER.info("%s: delete: %s", pod_label(self.pod), error)
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _publish_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_COALESCE_SECONDS)
            self._dirty.clear()
            try:
                await self._publish()
            except (ApiError, *CONNECTION_ERRORS) as error:
                LOGGER.info("%s: status: %s", pod_label(self.pod), error)
                self._dirty.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _publish(self) -> None:
        """Send what has changed of the pod's status."""
        if self._gone.is_set() or (is_finished(self.pod) and not self._stopped):
            return
        status = pod_status(self.pod, self._facts(), datetime.now(UTC))
        if self._stopped:
            done = is_finished(self.pod)
            status["phase"] = status_of(self.pod)["phase"] if done else final_phase(self._facts())
        changes = changed_fields(status_of(self.pod), status)
        if not changes:
            return
        body = {"metadata": {"uid": uid_of(self.pod)}, "status": changes}
        with contextlib.suppress(ApiError) if self._stopped else contextlib.nullcontext():
            self.update(await self._host.api.patch(f"{self._api_path}/status", body))

    def _facts(self) -> PodFacts:
        return PodFacts(
            pod_ip=self._sandbox.ip,
            host_ip=self._host.address,
            started_at=self._seen,
            init=tuple(runner.record for runner in self._init),
            main=tuple(runner.record for runner in self._main),
        )

    def _runners(self, spec_field: str, status_field: str) -> tuple[ContainerRunner, ...]:
        """Return a runner for each container, with what an earlier node process has written about it."""
        before = {status["name"]: status for status in entries(status_of(self.pod), status_field)}
        return tuple(
            ContainerRunner(container, self._first_record(container, before), self._around(container, spec_field))
            for container in entries(spec_of(self.pod), spec_field)
        )

    def _first_record(self, container: JsonObject, before: Mapping[str, JsonObject]) -> Record:
        fresh = Record(name=container["name"], image=container.get("image", ""))
        status = before.get(container["name"])
        return fresh if status is None else recovered(status, self._seen)

    def _around(self, container: JsonObject, spec_field: str) -> Surroundings:
        policy = str(spec_of(self.pod).get("restartPolicy", "Always"))
        if spec_field == "initContainers":
            policy = "Always" if is_sidecar(container) else {"Always": "OnFailure"}.get(policy, policy)
        folder = f"{metadata(self.pod)['namespace']}_{metadata(self.pod)['name']}_{uid_of(self.pod)}"
        return Surroundings(
            prepare=lambda: self._sandbox.prepare(self.pod, container),
            changed=self._dirty.set,
            state=self._host.config.state,
            logs=self._host.config.state / "pods" / folder / container["name"],
            label=self._label,
            pod_ip=self._sandbox.ip,
            restart=policy,
            backoff_scale=self._host.config.backoff_scale,
            probe_scale=self._host.config.probe_scale,
            grace_seconds=self._spec_grace(),
        )

    def _spec_grace(self) -> float:
        stated = spec_of(self.pod).get("terminationGracePeriodSeconds")
        return _DEFAULT_GRACE_SECONDS if stated is None else float(stated)

    def _grace_seconds(self) -> float:
        if self._gone.is_set():
            return min(self._spec_grace(), _VANISHED_GRACE_SECONDS)
        stated = metadata(self.pod).get("deletionGracePeriodSeconds")
        return self._spec_grace() if stated is None else float(stated)

    def _notice_deletion(self) -> None:
        if is_being_deleted(self.pod):
            self._deleted.set()
