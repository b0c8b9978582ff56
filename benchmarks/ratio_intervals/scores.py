"""How honest intervals of ratios are: pure functions of what was measured and what was said."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, log

from benchmarks.accuracy.scores import median

from inferplan.estimate.forecast import Span

_Z80 = 1.2816
_WANTED = 0.8
_DOUBTS = tuple(step / 100 for step in range(101))


@dataclass(frozen=True)
class Told:
    """A measured ratio beside what was said of it.

    Attributes:
        source: Whose measurement it is.
        measured: The ratio.
        span: The 80 % interval; expected is never None here.
    """

    source: str
    measured: float
    span: Span

    @property
    def error(self) -> float:
        """Logarithm of measured over expected."""
        return log(self.measured / self.expected)

    @property
    def expected(self) -> float:
        """What was expected."""
        return self.span.expected or 1.0

    def covered(self, doubt: float = 0.0) -> bool:
        """Whether the interval holds the ratio, were the doubt so large."""
        below, above = log(self.expected / self.span.low), log(self.span.high / self.expected)
        return -hypot(below, _Z80 * doubt) <= self.error <= hypot(above, _Z80 * doubt)


def coverage(told: Sequence[Told], doubt: float = 0.0) -> float:
    """Share of the ratios that lie within their intervals."""
    return sum(one.covered(doubt) for one in told) / len(told)


def coverage_by_source(told: Sequence[Told]) -> float:
    """The same with every source alike."""
    groups: dict[str, list[Told]] = defaultdict(list)
    for one in told:
        groups[one.source].append(one)
    return statistics.fmean(coverage(group) for group in groups.values())


def width(told: Sequence[Told]) -> float:
    """Median width of the intervals, as a share of the expected ratio."""
    return median((one.span.high - one.span.low) / one.expected for one in told) or 0.0


def bias(told: Sequence[Told]) -> float:
    """Median error as a ratio less 1: above 0 the ratio was higher than expected."""
    return statistics.median(one.measured / one.expected for one in told) - 1.0


def root_mean_square(told: Sequence[Told]) -> float:
    """Root mean square of the errors' logarithms."""
    return statistics.fmean(one.error**2 for one in told) ** 0.5


def doubt_for(told: Sequence[Told]) -> float | None:
    """The least doubt with which 80 % would be covered; None where none up to 1 does."""
    return next((doubt for doubt in _DOUBTS if coverage(told, doubt) >= _WANTED), None)
