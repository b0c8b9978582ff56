"""What anybody could say without a model: the last value, a constant ratio, the median of everything."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from benchmarks.accuracy.serving import Row

Quantity = Callable[[Row], float]
Point = tuple[int, int, int]


def distance(one: Point, other: Point) -> float:
    """How far two operating points are apart, in doublings of concurrency and lengths."""
    return sum(abs(math.log2(a / b)) for a, b in zip(one, other, strict=True))


def nearest(row: Row, others: Sequence[Row]) -> Row | None:
    """The row at the nearest other operating point of the same deployment; None where there is no other."""
    found = [other for other in others if other.deployment == row.deployment and other.point != row.point]
    return min(found, key=lambda other: (distance(row.point, other.point), other.key)) if found else None


def median_of_all(rows: Iterable[Row], quantity: Quantity) -> float:
    """The median over the training rows, whatever they are."""
    return statistics.median(quantity(row) for row in rows)


def median_at_point(rows: Sequence[Row], quantity: Quantity) -> dict[Point, float]:
    """The median over the training rows at each operating point."""
    found: dict[Point, list[float]] = defaultdict(list)
    for row in rows:
        found[row.point].append(quantity(row))
    return {point: statistics.median(values) for point, values in found.items()}


class ConstantRatio:
    """From one operating point to another, the median ratio over all other deployments; 1 where none has both."""

    def __init__(self, rows: Iterable[Row], quantity: Quantity) -> None:
        self._values: dict[str, dict[Point, float]] = defaultdict(dict)
        for row in rows:
            self._values[row.deployment][row.point] = quantity(row)
        self._known: dict[tuple[Point, Point], dict[str, float]] = {}

    def ratio(self, seen: Row, asked: Row) -> float:
        """Asked over seen, as the other deployments have it."""
        way = (seen.point, asked.point)
        if way not in self._known:
            self._known[way] = {
                deployment: points[way[1]] / points[way[0]]
                for deployment, points in self._values.items()
                if way[0] in points and way[1] in points
            }
        found = [ratio for deployment, ratio in self._known[way].items() if deployment != seen.deployment]
        return statistics.median(found) if found else 1.0


def repeated(rows: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Pairs of runs of one deployment at one operating point: how far apart they are is the noise of the data."""
    places: dict[tuple[str, Point], list[Row]] = defaultdict(list)
    for row in rows:
        places[row.deployment, row.point].append(row)
    return [pair for found in places.values() for pair in combinations(found, 2)]
