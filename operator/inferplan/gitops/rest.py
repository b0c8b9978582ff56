"""How long a forge's API wants to be left alone: Retry-After, and the rate limits of GitHub and GitLab."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from inferplan.gitops.failures import unreachable

SECONDS = 60.0
"""Where a limit says no time (GitHub: at least a minute)."""
SECONDS_MAX = 3600.0
"""Limits are counted by the hour; nobody may keep us away for longer."""


class Rest:
    """Until when one API is not asked with one token.

    Args:
        monotonic: Seconds since any time.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = 0.0

    def check(self, host: str) -> None:
        """Nothing where it may be asked.

        Args:
            host: The API, for messages.

        Raises:
            GitOpsError: It may not yet.
        """
        left = self._until - self._monotonic()
        if left > 0:
            raise unreachable(f"{host}: its rate limit is used up; asked again in {left:.0f} s")

    def heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes an answer's wish to be left alone."""
        if is_limited(status, headers):
            self._until = self._monotonic() + min(SECONDS_MAX, _wanted(headers))


def is_limited(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer says that there were too many requests."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return status >= HTTPStatus.BAD_REQUEST and (
        headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    )


def _wanted(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks for; a reset is told in seconds since 1970, by the server's own clock."""
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    try:
        return max(SECONDS, float(reset) - parsedate_to_datetime(headers.get("date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return SECONDS
