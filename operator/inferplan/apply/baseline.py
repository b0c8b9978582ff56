"""The window that a plan is held against: the busiest of the last day before the workload carries it. Pure."""

from datetime import datetime, timedelta

from inferplan.api.attempt import WindowStatus
from inferplan.api.plan import PlanStatus
from inferplan.apply.case import UNDECIDED_SECONDS, Case

MOVED_MOST = 0.2
"""A baseline is noted anew only when a window has more requests by this share: a write for each look would be noise."""


def with_baseline(case: Case) -> PlanStatus:
    """The status with the busiest window that was seen while the plan waits, or its pull request is open.

    A day has all loads, and a plan is judged over a day at most: an older window may have been another load's.
    """
    window, held = case.window, case.status.baseline
    if window is None or not window.requests:
        return case.status
    if held is not None and not _gives_way(case, held, window):
        return case.status
    return case.status.model_copy(update={"baseline": window})


def _gives_way(case: Case, held: WindowStatus, window: WindowStatus) -> bool:
    age = case.now - datetime.fromisoformat(held.ended_at)
    enough = window.requests >= case.apply.verify.min_requests
    if age > timedelta(seconds=UNDECIDED_SECONDS) and enough:
        return True
    return window.requests > held.requests * (1.0 + MOVED_MOST)
