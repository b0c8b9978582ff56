"""The cause of a queue, told apart before anybody touches a batch size (performance-model section 4). Pure.

An ordered list of questions comes first; each may end the matter: are the numbers there, can they be true, is anything
going on, has the engine just started, is the window long enough. Then the limits are compared.
"""

from collections.abc import Callable

from inferplan.api.reasons import Reason
from inferplan.diagnose.busiest import busiest
from inferplan.diagnose.contradictions import contradictions
from inferplan.diagnose.finding import Cause, Diagnosis
from inferplan.diagnose.limits import CAP, KV_CACHE, LIMITS, QUEUE_MIN, STEPS, Limit, count, queue_text
from inferplan.diagnose.signals import Signals
from inferplan.diagnose.stalled import stalled
from inferplan.diagnose.start import cold_start
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import Observation

__all__ = ["Cause", "Diagnosis", "diagnose"]

WINDOW_MIN_SECONDS = 20
"""Gauges and rates of less time say nothing of a load: requests alone live for seconds to tens of seconds."""

_NO_CAP = Missing(
    Reason.SETTING_UNKNOWN, "requests wait, and the most that may run at once (max_batch_size) is unknown"
)


def diagnose(observation: Observation) -> Diagnosis:
    """Names the cause; Unknown where the data cannot tell."""
    signals = Signals(observation)
    answers = (question(signals) for question in _QUESTIONS)
    early = next((answer for answer in answers if answer is not None), None)
    return early if early is not None else _of_replicas(signals)


def _unknown(*missing: Missing) -> Diagnosis:
    return Diagnosis(Cause.UNKNOWN, missing=missing)


def _not_measured(signals: Signals) -> Diagnosis | None:
    """Without both gauges nobody knows whether requests wait."""
    needed = (signals.metrics.num_requests_running, signals.metrics.num_requests_waiting)
    missing = tuple(value for value in needed if isinstance(value, Missing))
    return _unknown(*missing) if missing else None


def _cannot_be(signals: Signals) -> Diagnosis | None:
    found = tuple(Missing(Reason.METRICS_CONTRADICTORY, text) for text in contradictions(signals))
    return _unknown(*found) if found else None


def _idle(signals: Signals) -> Diagnosis | None:
    metrics = signals.metrics
    gauges = (
        metrics.num_requests_running,
        metrics.num_requests_waiting,
        metrics.num_requests_running_peak,
        metrics.num_requests_waiting_peak,
    )
    busy = signals.generates or any(value_of(gauge) for gauge in gauges)
    if busy:
        return None
    rejected = value_of(metrics.rejected_requests_per_second) or 0.0
    why = f"{rejected:.2g} requests per second are rejected although none runs or waits"
    return _unknown(Missing(Reason.CAUSE_UNCLEAR, why)) if rejected > 0 else Diagnosis(Cause.IDLE)


def _cold(signals: Signals) -> Diagnosis | None:
    found = cold_start(signals)
    return None if found is None else Diagnosis(Cause.COLD_START, (found,))


def _too_short(signals: Signals) -> Diagnosis | None:
    seconds = signals.window_seconds
    if seconds is None or seconds >= WINDOW_MIN_SECONDS:
        return None
    why = f"the numbers cover {seconds} s, at least {WINDOW_MIN_SECONDS} are needed"
    return _unknown(Missing(Reason.METRICS_MISSING, why))


def _stuck(signals: Signals) -> Diagnosis | None:
    """Where nothing moves, no limit explains a queue, and a larger one would help nobody."""
    found = stalled(signals)
    if found is None:
        return None
    return Diagnosis(Cause.UNKNOWN, (found,), (Missing(Reason.STALLED, found.description.removesuffix(".")),))


_QUESTIONS: tuple[Callable[[Signals], Diagnosis | None], ...] = (
    _not_measured,
    _cannot_be,
    _idle,
    _cold,
    _too_short,
    _stuck,
)


def _of_replicas(signals: Signals) -> Diagnosis:
    """By the numbers of all replicas; where these fit nothing, by those of the one with the longest queue."""
    together, one = _of_queue(signals), busiest(signals)
    if together.cause is not Cause.UNKNOWN or one is None:
        return together
    name, own = one
    alone = _of_queue(own)
    if not alone.bottlenecks:
        return together
    found = alone.bottlenecks
    named = (entry.model_copy(update={"description": f"Replica {name}: {entry.description}"}) for entry in found)
    return Diagnosis(alone.cause, tuple(named))


def _of_queue(signals: Signals) -> Diagnosis:
    queued = _queue(signals)
    if isinstance(queued, Missing):
        return _unknown(queued)
    if not queued:
        return _without_queue(signals)
    reached = [limit for limit in LIMITS if limit.reached(signals)]
    if KV_CACHE not in reached and KV_CACHE.reached(signals) is None:
        return _unknown(_kv_use_missing(signals))
    return _caused_by(reached, signals) if reached else _unexplained(signals)


def _queue(signals: Signals) -> bool | Missing:
    """Whether requests wait, on average: by the time that they waited, where enough finished, and by the gauge."""
    gauge, waited = signals.waiting or 0.0, signals.waited
    if waited is None or (gauge >= QUEUE_MIN) == (waited >= QUEUE_MIN):
        return gauge >= QUEUE_MIN
    if waited >= QUEUE_MIN:
        return True  # the gauge's samples missed it
    why = (
        f"the gauge shows {gauge:.1f} waiting requests, and those that finished waited as if {waited:.1f} were: a"
        " queue that has only just begun, or a burst"
    )
    return Missing(Reason.CAUSE_UNCLEAR, why)


def _without_queue(signals: Signals) -> Diagnosis:
    """A full cache limits without a queue too where requests that ran are thrown out; full steps, as tokens wait."""
    preempting = (signals.preemptions or 0.0) > 0
    reached = [KV_CACHE] if preempting and KV_CACHE.reached(signals) else []
    reached += [STEPS] if STEPS.reached(signals) else []
    return _caused_by(reached, signals) if reached else Diagnosis(Cause.NONE)


def _caused_by(reached: list[Limit], signals: Signals) -> Diagnosis:
    cause = reached[0].cause if len(reached) == 1 else Cause.OVERLOAD
    found = tuple(limit.describe(signals) for limit in reached)
    if cause is Cause.OVERLOAD:
        found = tuple(entry.model_copy(update={"recommendation": _MORE_REPLICAS}) for entry in found)
    return Diagnosis(cause, found)


_MORE_REPLICAS = "Add replicas, or send less: more than one limit is reached, and a flag moves only one."


def _kv_use_missing(signals: Signals) -> Missing:
    usage = signals.metrics.kv_cache_usage
    return usage if isinstance(usage, Missing) else Missing(Reason.METRICS_MISSING, "the KV cache's use is unknown")


def _unexplained(signals: Signals) -> Diagnosis:
    """A queue although no limit is reached on average: one that was reached at times explains it, if it is alone."""
    if CAP.reached(signals) is None:
        return _unknown(_NO_CAP)
    at_times = [limit for limit in LIMITS if limit.at_times(signals)]
    if len(at_times) == 1 and (signals.step_share is not None or at_times[0] is KV_CACHE):
        return _caused_by(at_times, signals)
    return _unknown(_fits_nothing(signals, at_times), *_step_missing(signals))


def _step_missing(signals: Signals) -> tuple[Missing, ...]:
    tokens = signals.metrics.tokens_per_step
    if isinstance(tokens, Missing):
        return (tokens,)
    lacking = signals.step_share is None
    return (Missing(Reason.SETTING_UNKNOWN, "max_num_batched_tokens is unknown"),) if lacking else ()


def _fits_nothing(signals: Signals, at_times: list[Limit]) -> Missing:
    usage = signals.usage
    steps = (
        "tokens per step are not known" if signals.step_share is None else f"steps are {signals.step_share:.0%} full"
    )
    several = " and ".join(limit.cause for limit in at_times)
    hint = f"; at times it was {several}" if len(at_times) > 1 else ""
    cache = "not known" if usage is None else f"at {usage:.0%}"
    why = (
        f"{queue_text(signals, ' requests')} although {count(signals.running or 0.0)} of {signals.cap} run, the KV"
        f" cache is {cache} and {steps}{hint}"
    )
    return Missing(Reason.CAUSE_UNCLEAR, why)
