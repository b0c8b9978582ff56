"""What the node knows about a container: frozen snapshots, and how the API writes them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from inferplan_lab.node.documents import JsonObject, timestamp

KILLED = 137  # 128 + SIGKILL, as a shell and the kubelet write it


@dataclass(frozen=True)
class Waiting:
    """The container doesn't run yet, or not again yet."""

    reason: str = "ContainerCreating"
    message: str = ""


@dataclass(frozen=True)
class Running:
    """The container's main process runs."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """The container's main process has ended; `exit_code` is 128 + N after signal N."""

    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class Record:
    """One container's state as its status shows it."""

    name: str
    image: str
    state: State = Waiting()
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the last thing it did was to end (a crash that waits for its restart counts)."""
        return isinstance(self.state, Terminated) or (isinstance(self.state, Waiting) and self.last is not None)

    @property
    def succeeded(self) -> bool:
        """Whether it has ended with exit code 0 and stays so."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0

    @property
    def latest_exit(self) -> Terminated | None:
        """The most recent end of the container, None when it never ended."""
        return self.state if isinstance(self.state, Terminated) else self.last


def exit_reason(exit_code: int, *, killed_by_us: bool) -> str:
    """Return the reason of an exit.

    A SIGKILL that the node didn't send is taken for the kernel's OOM killer: the usual cause on a real node, and the
    way in which a test makes a container run out of memory.
    """
    if exit_code == 0:
        return "Completed"
    return "OOMKilled" if exit_code == KILLED and not killed_by_us else "Error"


def record_status(record: Record) -> JsonObject:
    """Return the record as an entry of containerStatuses."""
    status: JsonObject = {
        "name": record.name,
        "image": record.image,
        "imageID": f"inferplan-lab://{record.image}" if record.container_id else "",
        "ready": record.ready,
        "started": record.started,
        "restartCount": record.restarts,
        "state": _state_status(record.state),
        "lastState": _state_status(record.last) if record.last else {},
    }
    if record.container_id:
        status["containerID"] = record.container_id
    return status


def _state_status(state: State) -> JsonObject:
    match state:
        case Waiting():
            message = {"message": state.message} if state.message else {}
            return {"waiting": {"reason": state.reason, **message}}
        case Running():
            return {"running": {"startedAt": timestamp(state.started_at)}}
        case Terminated():
            return {"terminated": _terminated_status(state)}


def _terminated_status(state: Terminated) -> JsonObject:
    status: JsonObject = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": timestamp(state.started_at),
        "finishedAt": timestamp(state.finished_at),
    }
    if state.message:
        status["message"] = state.message
    if state.container_id:
        status["containerID"] = state.container_id
    return status


def recovered(status: Mapping[str, Any], now: datetime) -> Record:
    """Return the record that an earlier node process left in the API; what ran then has been killed since.

    Args:
        status: the entry of containerStatuses.
        now: when the leftovers were killed.
    """
    state = status.get("state") or {}
    record = Record(
        name=status["name"],
        image=status.get("image", ""),
        restarts=int(status.get("restartCount", 0)),
        container_id=status.get("containerID", ""),
        last=_parse_terminated((status.get("lastState") or {}).get("terminated")),
    )
    if "running" in state:
        started = _parse_time(state["running"].get("startedAt"), now)
        message = "killed with the node stand-in that ran it"
        return replace(record, state=Terminated(KILLED, "Error", started, now, message, record.container_id))
    ended = _parse_terminated(state.get("terminated"))
    if ended is not None:
        return replace(record, state=ended)
    waiting = state.get("waiting") or {}
    return replace(record, state=Waiting(waiting.get("reason", "ContainerCreating"), waiting.get("message", "")))


def _parse_terminated(status: Mapping[str, Any] | None) -> Terminated | None:
    if not status:
        return None
    epoch = datetime.fromtimestamp(0, UTC)
    return Terminated(
        exit_code=int(status["exitCode"]),
        reason=str(status.get("reason", "Error")),
        started_at=_parse_time(status.get("startedAt"), epoch),
        finished_at=_parse_time(status.get("finishedAt"), epoch),
        message=str(status.get("message", "")),
        container_id=str(status.get("containerID", "")),
    )


def _parse_time(text: str | None, fallback: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else fallback


def killed_record(record: Record, now: datetime) -> Record:
    """Return the record of a container that was stopped before it ever ran."""
    if isinstance(record.state, Waiting):
        state = record.last or Terminated(KILLED, "ContainerStatusUnknown", now, now)
        return replace(record, state=state, ready=False, started=False)
    return record
