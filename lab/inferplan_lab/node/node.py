"""The node stand-in: registers its nodes, follows the pods, and runs those bound to it."""

import asyncio
import fcntl
import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from inferplan_lab import kubeconfig
from inferplan_lab.node import leftovers
from inferplan_lab.node.addresses import AddressPool
from inferplan_lab.node.api import CONNECTION_ERRORS, Api, ApiError
from inferplan_lab.node.binding import Binder
from inferplan_lab.node.config import NodeConfig
from inferplan_lab.node.documents import JsonObject, metadata, spec_of, uid_of
from inferplan_lab.node.images import DEFAULT_FILE, load_rules
from inferplan_lab.node.kubelet_api import serve_logs
from inferplan_lab.node.pods import PodWorker
from inferplan_lab.node.registration import keep_registered, register
from inferplan_lab.node.sandboxes import Host

LOGGER = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class StateInUseError(RuntimeError):
    """Another node stand-in runs with the same state folder."""


class Node:
    """One or several pretended nodes; an asynchronous context manager.

    Inside, the Node objects are registered and the pods bound to them run. Leaving kills every process and leaves the
    API objects as they are, so that a new Node with the same configuration takes over.

    Raises (on entering):
        StateInUseError: the state folder is in use.
        ApiError: the API server refuses the registration.
        ImageFileError: the images file can't be used.
    """

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self._mark = hashlib.sha256(str(config.state.resolve()).encode()).hexdigest()[:16]
        self._pods: dict[str, JsonObject] = {}
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._hosts: dict[str, Host] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return self.config.names

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the nodes, in the order of their names."""
        return tuple(self._hosts[name].address for name in self.names)

    def pids(self, namespace: str, pod: str, container: str | None = None) -> tuple[int, ...]:
        """Return the main processes of a pod's running containers, or of one of them."""
        return tuple(
            pid
            for worker, _ in self._workers.values()
            if (metadata(worker.pod)["namespace"], metadata(worker.pod)["name"]) == (namespace, pod)
            for pid in worker.pids(container)
        )

    async def __aenter__(self) -> Self:
        """Start; see the class."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all processes of the pods and stop."""
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        state = self.config.state
        state.mkdir(parents=True, exist_ok=True)
        stack.callback(_lock(state).close)
        if killed := leftovers.kill_all(state, self._mark):
            LOGGER.info("killed %d processes of an earlier run", killed)
        rules = load_rules(self.config.images or DEFAULT_FILE)
        pool = AddressPool.claim(state)
        stack.callback(pool.close)
        stack.callback(leftovers.kill_all, state, self._mark)
        stack.callback(_start_guardian(state, self._mark))
        api = await stack.enter_async_context(Api(kubeconfig.read(self.config.kubeconfig)))
        for place, name in enumerate(self.names):
            self._hosts[name] = Host(self.config, pool.node_address(place), api, pool, rules, self._mark)
        stack.push_async_callback(self._cancel_all)
        await self._register_all(stack, api)
        binder = Binder(api, self.names, self._pods.values)
        self._spawn(self._follow(api, binder))
        self._spawn(binder.run())

    async def _register_all(self, stack: AsyncExitStack, api: Api) -> None:
        for name, host in self._hosts.items():
            port = await serve_logs(stack, self.config.state, host.address, self.config.kubelet_port, self._runs_now)
            await register(api, name, self.config.gpu, host.address, port)
            self._spawn(keep_registered(api, name, self.config.gpu, host.address, port))

    def _runs_now(self, namespace: str, pod: str, container: str) -> bool:
        return bool(self.pids(namespace, pod, container))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _cancel_all(self) -> None:
        tasks = [*self._tasks, *(task for _, task in self._workers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, api: Api, binder: Binder) -> None:
        """Keep the pods up to date for ever: list, watch, list again where the watch can't go on."""
        version = ""
        while True:
            try:
                if not version:
                    version = await self._relist(api)
                    binder.wake()
                async for event in api.watch("/api/v1/pods", version):
                    version = str(metadata(event["object"])["resourceVersion"])
                    if event["type"] != "BOOKMARK":
                        self._apply(event["type"], event["object"])
                        binder.wake()
            except (ApiError, *CONNECTION_ERRORS, ValueError) as error:
                LOGGER.info("watching pods: %s", error)
                version = ""
                await asyncio.sleep(_RETRY_SECONDS)

    async def _relist(self, api: Api) -> str:
        listing = await api.get("/api/v1/pods")
        present = {uid_of(pod) for pod in listing["items"]}
        for uid in [uid for uid in self._pods if uid not in present]:
            self._apply("DELETED", self._pods[uid])
        for pod in listing["items"]:
            self._apply("MODIFIED", pod)
        return str(listing["metadata"]["resourceVersion"])

    def _apply(self, kind: str, pod: JsonObject) -> None:
        """Take one change of one pod over."""
        uid = uid_of(pod)
        known = self._workers.get(uid)
        if kind == "DELETED":
            self._pods.pop(uid, None)
            if known is not None:
                known[0].vanish()
            return
        self._pods[uid] = pod
        host = self._hosts.get(spec_of(pod).get("nodeName", ""))
        if known is not None:
            known[0].update(pod)
        elif host is not None:
            self._run_pod(uid, PodWorker(pod, host))

    def _run_pod(self, uid: str, worker: PodWorker) -> None:
        task = asyncio.create_task(worker.run())
        self._workers[uid] = (worker, task)

        def forget(done: asyncio.Task[None]) -> None:
            self._workers.pop(uid, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                LOGGER.error("pod %s: the stand-in failed: %r", uid, error, exc_info=error)

        task.add_done_callback(forget)


def _lock(state: Path) -> IO[str]:
    """Take the state folder for this process.

    Raises:
        StateInUseError: another one has it.
    """
    lock = (state / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StateInUseError(f"state folder {state}: another node stand-in is running with it") from None
    return lock


def _start_guardian(state: Path, mark: str) -> Callable[[], None]:
    """Start the process that kills what is left when this one dies; return what ends it."""
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", leftovers.__file__, str(state), mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )

    def end() -> None:
        guardian.communicate()

    return end
