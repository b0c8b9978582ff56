"""What a look at replicas makes its values with: units, reasons, and what is no possible number. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import MEASURED_MAX, Missing
from inferplan.domain.readings import Histogram, ReplicaReadings
from inferplan.observe.histograms import contradiction


@dataclass(frozen=True)
class Unit:
    """The unit that a measurement is told in.

    Attributes:
        name: As the plan prints it.
        per_own: How many of it one unit of the series is: 1,000 ms per second.
    """

    name: str
    per_own: float


MILLISECONDS = Unit("ms", 1000.0)
PLAIN_TOKENS = Unit("tokens", 1.0)


def longest(replicas: Iterable[ReplicaReadings]) -> float | None:
    """The longest time that a replica's counters cover, seconds; None where none is known. What is no time is 0."""
    known = [replica.seconds for replica in replicas if replica.seconds is not None]
    return max((seconds if 0 <= seconds <= MEASURED_MAX else 0.0 for seconds in known), default=None)


def missing(why: str) -> Missing:
    """A value that is not there."""
    return Missing(Reason.METRICS_MISSING, why)


def contradictory(why: str) -> Missing:
    """A value that cannot be true."""
    return Missing(Reason.METRICS_CONTRADICTORY, why)


def all_good(values: Iterable[float], join: Callable[[Iterable[float]], float]) -> float:
    """Joined, if each of them is a possible number; else the first that is none."""
    found = tuple(values)
    return next((value for value in found if not 0 <= value <= MEASURED_MAX), None) or (join(found) if found else 0.0)


def first_contradiction(found: Mapping[str, Histogram]) -> str | None:
    """What cannot be true of the first replica's histogram of which anything cannot; None where all can."""
    wrong = ((name, contradiction(histogram)) for name, histogram in found.items())
    return next((f" of {name}: {problem}" for name, problem in wrong if problem is not None), None)


def percentile_source(source: str, percent: int) -> str:
    """As PromQL where the source is PromQL, which a plain name of a series is not."""
    if "(" in source:
        return f"histogram_quantile({percent / 100:g}, sum by (le) ({source}))"
    return f"p{percent} of {source}"
