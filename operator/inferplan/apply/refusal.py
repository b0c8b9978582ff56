"""A write that the API server refused: noted, and tried again later, or given up. Pure."""

from datetime import timedelta

from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import Case, Said, moved
from inferplan.domain.units import timestamp

PAUSE_SECONDS = 600.0
PAUSE_MOST_SECONDS = 32 * 3600.0
"""Ten minutes, doubled with each failure in a row, a day and a third at most (cert-manager's order: 1 h to 32 h)."""

AWAY_SECONDS = 60.0
"""A server that is away is asked again so often, for as long as it takes; what has to be undone, too."""

TRIES_MOST = 8


def refused(case: Case, reason: Reason, why: str, *, passes: bool = False) -> PlanStatus:
    """The plan waits for another try, unless it has had its tries; a roll-back is tried again in a minute.

    Args:
        case: What was tried.
        reason: Code of the refusal.
        why: The same in words.
        passes: Whether it passes by itself, as a server that is away does: that is no try.
    """
    failures = case.status.failures + (not passes)
    if case.status.phase is Phase.ROLLING_BACK:
        soon = timestamp(case.now + timedelta(seconds=AWAY_SECONDS))
        return case.status.model_copy(update={"failures": failures, "message": why, "retry_at": soon})
    said = Said(PlanConditionType.APPLIED, Status.FALSE, reason, why)
    if failures >= TRIES_MOST:
        return moved(case, Phase.FAILED, f"Given up after {failures} tries: {why}.", said, failures=failures)
    pause = AWAY_SECONDS if passes else min(PAUSE_MOST_SECONDS, PAUSE_SECONDS * 2.0 ** (failures - 1))
    again = timestamp(case.now + timedelta(seconds=pause))
    gates = Said(PlanConditionType.GATES_PASSED, Status.FALSE, reason, why)
    later = {"failures": failures, "retry_at": again, "refused_generation": case.instance_generation}
    return moved(case, Phase.SCHEDULED, f"Not applied: {why}.", said, gates, **later)
