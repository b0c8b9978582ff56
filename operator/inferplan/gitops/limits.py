"""How long a conversation with a Git server may take, and how much it may say; pure."""

from collections.abc import Callable
from dataclasses import dataclass

from inferplan.gitops.failures import refused, unreachable


@dataclass(frozen=True)
class Limits:
    """Bounds of one conversation.

    Attributes:
        connect_seconds: Time to connect, and for one read or write.
        seconds: Time for all of it.
        received_bytes: What the server may send, refs and pack together.
        objects: How many objects a pack may hold.
    """

    connect_seconds: float = 10.0
    seconds: float = 60.0
    received_bytes: int = 64 * 1024 * 1024
    objects: int = 200_000


class Meter:
    """Time and bytes that are left of a conversation.

    Args:
        limits: Its bounds.
        monotonic: Seconds since any time.
        host: With whom, for messages.
    """

    def __init__(self, limits: Limits, monotonic: Callable[[], float], host: str) -> None:
        self.limits = limits
        self._monotonic = monotonic
        self._host = host
        self._end = monotonic() + limits.seconds
        self._received = 0

    def wait_seconds(self) -> float:
        """How long the next read or write may take.

        Raises:
            GitOpsError: No time is left.
        """
        left = self._end - self._monotonic()
        if left <= 0:
            raise unreachable(f"{self._host}: takes longer than {self.limits.seconds:g} s")
        return min(left, self.limits.connect_seconds)

    def received(self, data: bytes) -> bytes:
        """What came, counted.

        Raises:
            GitOpsError: It is too much, or no time is left.
        """
        self._received += len(data)
        if self._received > self.limits.received_bytes:
            most = self.limits.received_bytes // 1024**2
            raise refused(f"{self._host}: sends more than {most} MiB for one commit of the repository")
        self.wait_seconds()
        return data
