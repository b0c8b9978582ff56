"""The pods of a rollout: which of them run the new arguments, and whether one of them cannot. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.dialects.container import read_container
from inferplan.dialects.masking import masked_line
from inferplan.dialects.untyped import mapping, mappings, scalar
from inferplan.engine.identity import args_digest

RESTARTS_MOST = 1
"""A container that ended once may have had bad luck; one that ended twice does not run."""

_NEVER_STARTS = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Reasons for waiting that the kubelet gives for a container that it could not run (kubernetes/pkg/kubelet)."""


@dataclass(frozen=True)
class PodState:
    """One pod of the workload, as to whether it can serve.

    Attributes:
        name: Its name.
        uid: Its identity.
        args_digest: Digest of its engine container's command and args.
        ready: Whether it is ready.
        restarts: How often its engine's container was started anew.
        waiting: Why the container does not run now; "" where it runs.
        ended: How its last run ended ("OOMKilled", "Error, exit code 1"); "" where it never ended.
        unscheduled: Why no node takes the pod; "" where one has.
        last_words: What its engine wrote last before it ended; "" where that was not read.
    """

    name: str
    uid: str
    args_digest: str
    ready: bool
    restarts: int = 0
    waiting: str = ""
    ended: str = ""
    unscheduled: str = ""
    last_words: str = ""

    @property
    def coming_up(self) -> bool:
        """Whether its engine runs, and may become ready."""
        return not (self.ready or self.waiting or self.unscheduled or self.trouble)

    @property
    def trouble(self) -> str:
        """Why it cannot serve with what it is told, in a sentence without secrets; "" while it may still come up."""
        return masked_line(self._trouble)

    @property
    def _trouble(self) -> str:
        ended = f" ({self.ended})" if self.ended else ""
        ended += f'; it wrote: "{self.last_words}"' if self.last_words else ""
        if self.ended.startswith("OOMKilled"):
            return f"pod {self.name}: its engine ran out of memory{ended}"
        if self.waiting.split(":", 1)[0] in _NEVER_STARTS:
            return f"pod {self.name}: {self.waiting}{ended}"
        if self.restarts > RESTARTS_MOST:
            return f"pod {self.name}: its engine ended {self.restarts} times{ended}"
        return ""


def pod_states(documents: Sequence[Mapping[str, Any]], container: str) -> tuple[PodState, ...]:
    """The pods that are not on their way out, by name.

    Args:
        documents: Pods that the workload's selector picks.
        container: Name of the engine's container.
    """
    staying = (entry for entry in documents if not mapping(entry.get("metadata")).get("deletionTimestamp"))
    found = (_state(entry, container) for entry in staying)
    return tuple(sorted((state for state in found if state is not None), key=lambda state: state.name))


def _state(document: Mapping[str, Any], container: str) -> PodState | None:
    meta, spec, status = (mapping(document.get(name)) for name in ("metadata", "spec", "status"))
    own = next((entry for entry in mappings(spec.get("containers")) if entry.get("name") == container), None)
    if own is None:
        return None
    read = read_container(own, spec)
    conditions = {scalar(entry.get("type")): entry for entry in mappings(status.get("conditions"))}
    runs = next((entry for entry in mappings(status.get("containerStatuses")) if entry.get("name") == container), {})
    restarts = mapping(runs).get("restartCount")
    return PodState(
        name=scalar(meta.get("name")),
        uid=scalar(meta.get("uid")),
        args_digest=args_digest(read.command, read.args),
        ready=mapping(conditions.get("Ready")).get("status") == "True",
        restarts=restarts if isinstance(restarts, int) else 0,
        waiting=_told(mapping(mapping(mapping(runs).get("state")).get("waiting"))),
        ended=_ended(mapping(runs)),
        unscheduled=_unscheduled(mapping(conditions.get("PodScheduled"))),
    )


def _told(entry: Mapping[str, Any]) -> str:
    reason, message = scalar(entry.get("reason")), scalar(entry.get("message"))
    return f"{reason}: {message}" if reason and message else reason


def _ended(runs: Mapping[str, Any]) -> str:
    """How the container's last run ended: the one before this, or this one."""
    for place in ("state", "lastState"):
        ended = mapping(mapping(runs.get(place)).get("terminated"))
        if ended:
            return f"{scalar(ended.get('reason')) or 'Ended'}, exit code {scalar(ended.get('exitCode'))}"
    return ""


def _unscheduled(condition: Mapping[str, Any]) -> str:
    return scalar(condition.get("message")) if condition.get("status") == "False" else ""
