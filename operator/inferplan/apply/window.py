"""A window of measurements as before and after are compared. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from inferplan.api.attempt import WindowStatus
from inferplan.api.instance import InstanceSpec
from inferplan.apply.case import Case
from inferplan.domain.measurement import Measured, value_of
from inferplan.domain.observation import Metrics
from inferplan.domain.units import significant, timestamp

LENGTHS = ("prompt_tokens_mean", "generation_tokens_mean")
"""The traffic's shape."""

IN_FLIGHT = ("num_requests_running", "num_requests_waiting")
THROUGHPUT = "generation_tokens_per_second"
FAILED = "failed_requests_share"
_KEPT = (
    *LENGTHS,
    *IN_FLIGHT,
    THROUGHPUT,
    FAILED,
    "requests_per_second",
    "arrivals_per_second",
    "ttft_mean_milliseconds",
    "itl_mean_milliseconds",
    "e2e_mean_milliseconds",
    "kv_cache_tokens",
    "preemptions_per_second",
    "prefix_cache_hit_share",
)
_DIGITS = 6


def over_verify_window(spec: InstanceSpec) -> InstanceSpec:
    """The spec, measured over the window in which plans are judged: nothing from before the change is in it."""
    metrics = spec.metrics.model_copy(update={"window_seconds": spec.apply.verify.window_seconds})
    return spec.model_copy(update={"metrics": metrics})


def windows_over(case: Case, since: str | None) -> int:
    """How many windows are over; those that nobody looked at, as the operator was away, are over too.

    Each is judged once: the same minutes judged again and again would be found worse by chance some day.

    Args:
        case: What is known.
        since: When what is measured ran.
    """
    passed = case.since(since).total_seconds() - _unlooked_seconds(case)
    return max(0, int(passed // case.apply.verify.window_seconds))


def over_after(case: Case, windows: int) -> timedelta:
    """How long after all pods ran it this many windows are over, and measured.

    Args:
        case: What is known.
        windows: How many.
    """
    return timedelta(seconds=_unlooked_seconds(case) + case.apply.verify.window_seconds * windows)


def _unlooked_seconds(case: Case) -> float:
    """Time to warm up, and the age that measurements may have: none may reach back to before the change."""
    return case.apply.verify.warm_up_seconds + case.lag_seconds


def window_of(metrics: Metrics, replicas: int | None, ended: datetime) -> WindowStatus:
    """The numbers of a window that are there; targets' percentiles under their names ("ttft p95").

    Args:
        metrics: Means per replica over the window.
        replicas: Replicas that they are taken over.
        ended: Its end, with its zone.
    """
    counted = metrics.requests_per_second
    seconds = (counted.window_seconds or 0) if isinstance(counted, Measured) else 0
    found: Mapping[str, float | None] = {
        **{name: value_of(getattr(metrics, name)) for name in _KEPT},
        **{name: value_of(value) for name, value in metrics.slo_milliseconds},
    }
    rate = found["requests_per_second"] or 0.0  # 4 requests/s and replica, 3 replicas, 900 s: 10,800 requests
    return WindowStatus(
        ended_at=timestamp(ended),
        seconds=seconds,
        requests=significant(rate * (replicas or 1) * seconds, _DIGITS),
        values={name: significant(value, _DIGITS) for name, value in found.items() if value is not None},
    )
