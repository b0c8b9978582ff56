"""Counters, gauges and histograms, and their text form as Prometheus reads it."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence


class Histogram:
    """Counts of observed values, by upper bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(float(bound) for bound in bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value.

        Args:
            value: in the metric's unit.
        """
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def lines(self, name: str, labels: Mapping[str, str]) -> list[str]:
        """The sample lines.

        Args:
            name: of the metric.
            labels: on every line.

        Returns:
            Cumulative buckets, count and sum.
        """
        lines: list[str] = []
        running = 0
        bounds = [*(str(bound) for bound in self.bounds), "+Inf"]
        for bound, count in zip(bounds, self._counts, strict=True):
            running += count
            lines.append(sample(f"{name}_bucket", {**labels, "le": bound}, running))
        return [*lines, sample(f"{name}_count", labels, running), sample(f"{name}_sum", labels, self._sum)]


def one_two_five(limit: int) -> tuple[float, ...]:
    """The bounds 1, 2, 5, 10, 20, 50 … up to a limit.

    Args:
        limit: the largest bound is not above it.

    Returns:
        The bounds (engine facts, section 4a).
    """
    bounds: list[float] = []
    scale = 1
    while scale <= limit:
        bounds += [float(step * scale) for step in (1, 2, 5) if step * scale <= limit]
        scale *= 10
    return tuple(bounds)


def escaped(value: str) -> str:
    """A label value as the text format writes it.

    Args:
        value: any text.

    Returns:
        With backslashes, quotes and line ends escaped.
    """
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One sample line.

    Args:
        name: of the sample.
        labels: written in alphabetical order, as vLLM's page has them.
        value: of the sample.

    Returns:
        The line without its end.
    """
    inside = ",".join(f'{key}="{escaped(labels[key])}"' for key in sorted(labels))
    return f"{name}{{{inside}}} {float(value)!r}" if inside else f"{name} {float(value)!r}"


def header(name: str, kind: str, help_text: str) -> list[str]:
    """The two comment lines in front of a metric.

    Args:
        name: of the metric.
        kind: gauge, counter or histogram.
        help_text: one line.

    Returns:
        HELP and TYPE.
    """
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
