"""Engines that have just started, or that start again and again. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Counts, Severity
from inferplan.diagnose.finding import Cause, Code, Shown, finding
from inferplan.diagnose.signals import Signals
from inferplan.domain.measurement import Measured

START_SECONDS = 90
"""A process this young has hardly served: a small model takes 45 to 60 s until it answers (real scrapes of vLLM 0.32.0
on a CPU), a large one minutes. Its first requests compile kernels, fill the prefix cache and meet what piled up."""

WARM_UP_SECONDS = 300
"""From this age on a start lies behind, whatever the window: five minutes hold loading and the first requests."""

CRASH_LOOP = 3
"""Restarts in one window from which on it is no update and no eviction any more, but a crash loop."""


def cold_start(signals: Signals) -> Bottleneck | None:
    """The finding that most replicas are younger than the window, or than a start takes; None where they are not."""
    needed = min(max(START_SECONDS, signals.window_seconds or 0), WARM_UP_SECONDS)
    ages = _ages(signals)
    young = [age for age in ages if age < needed]
    uptime = signals.metrics.uptime_seconds
    if 2 * len(young) <= len(ages):
        return None
    return finding(
        Cause.COLD_START,
        Severity.LOW,
        f"{_replicas(len(young), len(ages))} started {min(young):.0f} s ago: what was measured tells of the start.",
        Shown("uptime_seconds", uptime, needed, Counts.BELOW),
        also=signals.metrics.named("restarts"),
        recommendation=f"Wait until the engine is {needed} s old, then look again; nothing is to be tuned before.",
    )


def _replicas(young: int, known: int) -> str:
    return "The engine" if known == 1 else f"{young} of {known} replicas"


def _ages(signals: Signals) -> list[float]:
    """Ages of the replicas that tell theirs; the youngest's where they are not told apart."""
    each = [replica.uptime_seconds for replica in signals.observation.replica_metrics]
    known = [age for age in each if age is not None]
    uptime, alone = signals.metrics.uptime_seconds, len(each) <= 1 and (signals.observation.replicas or 1) <= 1
    return known or ([uptime.value] if isinstance(uptime, Measured) and alone else [])


def restarts(signals: Signals) -> Iterator[Bottleneck]:
    """Starts of engine processes within the window."""
    count = signals.metrics.restarts
    if not isinstance(count, Measured) or count.value < 1:
        return
    looping = count.value >= CRASH_LOOP
    times = f"{count.value:.0f} time" + ("s" if count.value > 1 else "")
    yield finding(
        Code.RESTARTED,
        Severity.HIGH if looping else Severity.MEDIUM,
        f"The engine restarted {times} in the window; requests that ran then were lost.",
        Shown("restarts", count, CRASH_LOOP if looping else 1),
        also=signals.metrics.named("uptime_seconds"),
        recommendation="Read why the container ended (kubectl describe pod, kubectl logs --previous).",
    )
