"""Run one container: start its process, probe it, restart it, stop it, and keep its record up to date."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inferplan_lab.node.backoff import Backoff
from inferplan_lab.node.environment import MissingReferenceError
from inferplan_lab.node.health import Probes, Reactions, parse_probes, watch_health
from inferplan_lab.node.launch import Launch, UnknownImageError, locate
from inferplan_lab.node.leftovers import forget, kill_session, write_down
from inferplan_lab.node.probes import http_check
from inferplan_lab.node.probing import passes, run_beside
from inferplan_lab.node.records import Record, Running, Terminated, Waiting, exit_reason

_NOT_STARTED = 128  # the exit code of a container whose program can't be started
_MESSAGE_BYTES = 2048  # Kubernetes' limit for a message out of the log
_RETRY_SECONDS = 10.0  # between attempts to get what a container lacks


@dataclass(frozen=True)
class Surroundings:
    """What a container's runner needs from its pod and node.

    Attributes:
        prepare: makes the launch, afresh for each start. Raises MissingReferenceError, UnknownImageError.
        changed: is called after every change of the record.
        state: the node's state folder.
        logs: the container's folder of logs.
        label: `namespace/name(uid)` of the pod, for messages.
        pod_ip: the address that probes ask.
        restart: Always, OnFailure or Never.
        backoff_scale: factor on waits.
        probe_scale: factor on the periods of probes.
        grace_seconds: the pod's terminationGracePeriodSeconds.
    """

    prepare: Callable[[], Awaitable[Launch]]
    changed: Callable[[], None]
    state: Path
    logs: Path
    label: str
    pod_ip: str
    restart: str
    backoff_scale: float
    probe_scale: float
    grace_seconds: float


class ContainerRunner:
    """One container of one pod; `run` works until the container has ended for good."""

    def __init__(self, container: Mapping[str, Any], record: Record, around: Surroundings) -> None:
        self.record = record
        self._spec = container
        self._around = around
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._launch: Launch | None = None
        self._killed = False

    @property
    def pid(self) -> int | None:
        """The main process, None when the container doesn't run."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        """Start the container, and again by its restart policy, until it is stopped or done."""
        backoff = Backoff(self._around.backoff_scale)
        ended = self.record.state if isinstance(self.record.state, Terminated) else None
        while not self._stopping.is_set():
            if ended is not None:
                if not self._restarts_after(ended):
                    return
                delay, backoff = backoff.after_exit((ended.finished_at - ended.started_at).total_seconds())
                await self._wait_for_restart(ended, delay)
            launch = await self._prepare()
            if launch is None:
                return
            ended = await self._run_once(launch)

    async def stop(self, grace_seconds: float) -> None:
        """End the container for good: preStop hook, SIGTERM, SIGKILL after the grace period."""
        self._stopping.set()
        self._started.set()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._pre_stop()
        await self._terminate(deadline - asyncio.get_running_loop().time())

    async def wait_started(self) -> None:
        """Wait until the container has started (its startup probe included) or is stopped."""
        await self._started.wait()

    def explain_wait(self, message: str) -> None:
        """Say why the container hasn't been started yet."""
        self._update(state=Waiting("ContainerCreating", message))

    def _restarts_after(self, ended: Terminated) -> bool:
        policy = self._around.restart
        return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)

    async def _wait_for_restart(self, ended: Terminated, delay: float) -> None:
        """Show the crash, wait, and count the restart."""
        state = self.record.state
        if delay > 0:
            label = f"container={self.record.name} pod={self._around.label}"
            state = Waiting("CrashLoopBackOff", f"back-off {delay:g}s restarting failed {label}")
        self._update(state=state, last=ended)
        await self._pause(delay)
        if not self._stopping.is_set():
            self._update(restarts=self.record.restarts + 1, last=ended)

    async def _prepare(self) -> Launch | None:
        """Return the launch once there is all that it needs; None when the container is stopped first."""
        reason = "ErrImagePull"
        while not self._stopping.is_set():
            try:
                launch = await self._around.prepare()
                self._probes()  # so that a probe that can't work is a configuration error
            except UnknownImageError as problem:
                self._update(state=Waiting(reason, str(problem)))
                reason = "ImagePullBackOff"
            except (MissingReferenceError, ValueError) as problem:
                self._update(state=Waiting("CreateContainerConfigError", str(problem)))
            else:
                return launch
            await self._pause(_RETRY_SECONDS * self._around.backoff_scale)
        return None

    async def _run_once(self, launch: Launch) -> Terminated:
        """Run the process once and return how it ended."""
        self._launch = launch
        self._killed = False
        launch.termination_log.write_bytes(b"")
        started = datetime.now(UTC)
        try:
            await self._start(launch)
        except OSError as problem:
            return self._ended(_NOT_STARTED, started, "StartError", f"exec {launch.argv[0]}: {problem.strerror}")
        health = asyncio.create_task(watch_health(self._probes(), launch, started, self._reactions()))
        try:
            return await self._wait_for_exit(started)
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)

    async def _start(self, launch: Launch) -> None:
        self._around.logs.mkdir(parents=True, exist_ok=True)
        with (self._around.logs / f"{self.record.restarts}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *locate(launch),
                env=dict(launch.env),
                cwd=launch.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        write_down(self._around.state, self._process.pid)

    async def _wait_for_exit(self, started: datetime) -> Terminated:
        process = self._process
        if process is None:
            raise RuntimeError("a container's process was awaited before its start")
        identity = f"inferplan-lab://{process.pid}-{started.timestamp():.0f}"
        has_gate = "startupProbe" in self._spec
        self._update(
            state=Running(started),
            container_id=identity,
            started=not has_gate,
            ready=self._is_ready_at_once(),
        )
        if self._stopping.is_set():
            # It was stopped while its process was being started; nobody has told the process yet.
            await self._terminate(self._around.grace_seconds)
        try:
            code = await process.wait()
        finally:
            # What the main process has left behind goes with it, as a container's other processes do.
            kill_session(process.pid)
            if process.returncode is None:
                await process.wait()
            self._process = None
            forget(self._around.state, process.pid)
        exit_code = 128 - code if code < 0 else code
        return self._ended(exit_code, started, exit_reason(exit_code, killed_by_us=self._killed), None)

    def _is_ready_at_once(self) -> bool:
        return "startupProbe" not in self._spec and "readinessProbe" not in self._spec

    def _ended(self, exit_code: int, started: datetime, reason: str, message: str | None) -> Terminated:
        state = Terminated(
            exit_code=exit_code,
            reason=reason,
            started_at=started,
            finished_at=datetime.now(UTC),
            message=self._last_words(exit_code) if message is None else message,
            container_id=self.record.container_id,
        )
        self._update(state=state, ready=False, started=False)
        return state

    def _last_words(self, exit_code: int) -> str:
        """Return the termination message: its file, or the log's end where the policy asks for that."""
        if self._launch is None:
            return ""
        with contextlib.suppress(OSError):
            if text := self._launch.termination_log.read_bytes()[: 2 * _MESSAGE_BYTES].decode(errors="replace"):
                return text
            if exit_code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                log = (self._around.logs / f"{self.record.restarts}.log").read_bytes()
                return log[-_MESSAGE_BYTES:].decode(errors="replace")
        return ""

    def _reactions(self) -> Reactions:
        async def kill(grace_seconds: float | None) -> None:
            await self._terminate(self._around.grace_seconds if grace_seconds is None else grace_seconds)

        return Reactions(
            started=lambda: self._update(started=True, ready="readinessProbe" not in self._spec),
            ready=lambda ready: self._update(ready=ready),
            kill=kill,
        )

    def _probes(self) -> Probes:
        return parse_probes(self._spec, self._around.pod_ip, self._around.probe_scale)

    async def _pre_stop(self) -> None:
        hook = ((self._spec.get("lifecycle") or {}).get("preStop")) or {}
        if self._process is None or self._launch is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if "exec" in hook:
                await run_beside(tuple(hook["exec"]["command"]), self._launch)
            elif "httpGet" in hook:
                await passes(http_check(hook["httpGet"], self._spec, self._around.pod_ip), 60.0, self._launch)
            elif "sleep" in hook:
                await asyncio.sleep(float(hook["sleep"]["seconds"]))

    async def _terminate(self, grace_seconds: float) -> None:
        """Send SIGTERM to the main process, and SIGKILL to all of the session when the time is up."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if grace_seconds > 0:
                process.terminate()
        try:
            async with asyncio.timeout(max(grace_seconds, 0.0)):
                await process.wait()
        except TimeoutError:
            self._killed = True
            kill_session(process.pid)
            await process.wait()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the container is stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Record; replace() checks their names
        self.record = replace(self.record, **changes)
        if self.record.started:
            self._started.set()
        self._around.changed()
