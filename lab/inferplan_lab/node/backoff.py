"""How long a crashed container waits before its next start.

As the kubelet does it (Kubernetes, "Pod Lifecycle", container restarts): the first restart comes at once, the next
ones wait 10 s, 20 s, 40 s … up to 300 s; a container that ran for 10 minutes starts from the beginning again.
"""

from dataclasses import dataclass, replace

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 300.0
FORGIVEN_AFTER_SECONDS = 600.0


@dataclass(frozen=True)
class Backoff:
    """The state of one container's back-off.

    Attributes:
        scale: factor on every duration; tests make it small.
        next_seconds: the wait after the next crash, unscaled; 0 means to restart at once.
    """

    scale: float = 1.0
    next_seconds: float = 0.0

    def after_exit(self, ran_seconds: float) -> tuple[float, "Backoff"]:
        """Return how many seconds to wait now, and the state after that.

        Args:
            ran_seconds: how long the container ran before it exited.
        """
        current = 0.0 if ran_seconds >= FORGIVEN_AFTER_SECONDS * self.scale else self.next_seconds
        following = min(max(current * 2, FIRST_SECONDS), LONGEST_SECONDS)
        return current * self.scale, replace(self, next_seconds=following)
