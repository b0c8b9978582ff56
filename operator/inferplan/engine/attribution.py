"""Which change brings what: the joint gain shared out to its changes, and those that only work together. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

from inferplan.engine.space import Positions

_ALONE_LEAST = 0.1
"""A change that brings alone less than a tenth of its share in the whole only works with another one."""

_ADDS_LEAST = 0.005
"""What a change must add to the others, as the logarithm of a ratio: half a percent is nothing."""


@dataclass(frozen=True)
class Group:
    """Levers that move together.

    Attributes:
        levers: Their numbers, in order.
        share: Their part of the whole gain, 0 to 1.
    """

    levers: tuple[int, ...]
    share: float


Value = Callable[[Positions], float]
"""Score of a combination; -inf where it does not start or is stopped."""


def without_idle(positions: Positions, value: Value, settled: Positions | None = None) -> Positions:
    """The combination without changes that add nothing to the others, the least useful first.

    Args:
        positions: The combination.
        value: Scores.
        settled: Levers that stay where they are, by what is not 0.
    """
    free = [index for index, number in enumerate(settled or (0,) * len(positions)) if not number]
    while True:
        moved = [index for index in _moved(positions) if index in free]
        if not moved or len(_moved(positions)) == 1:
            return positions
        whole = value(positions)
        losses = {index: whole - value(_without(positions, index)) for index in moved}
        least = min(moved, key=lambda index: losses[index])
        if losses[least] >= _ADDS_LEAST:
            return positions
        positions = _without(positions, least)


def groups(positions: Positions, value: Value) -> tuple[Group, ...]:
    """The changes in groups that each work alone, the largest share first.

    Shares are Shapley values: what a change adds on average over all orders in which the changes could be made. They
    sum to the whole. Two changes, 10 % and 5 % alone, 20 % together: 12.5 and 7.5 points.
    """
    moved = _moved(positions)
    shares = {index: _shapley(index, moved, positions, value) for index in moved}
    total = sum(shares.values())
    found = _joined(moved, positions, value, shares)
    made = [Group(members, sum(shares[index] for index in members) / total if total > 0 else 0.0) for members in found]
    return tuple(sorted(made, key=lambda group: (-group.share, group.levers)))


def only(positions: Positions, levers: Sequence[int]) -> Positions:
    """The combination with these levers moved and no others."""
    return tuple(number if index in levers else 0 for index, number in enumerate(positions))


def _shapley(index: int, moved: Sequence[int], positions: Positions, value: Value) -> float:
    others = [other for other in moved if other != index]
    total = 0.0
    for size in range(len(others) + 1):
        weight = factorial(size) * factorial(len(others) - size) / factorial(len(moved))
        for subset in combinations(others, size):
            with_it, without = _gain(only(positions, (*subset, index)), value), _gain(only(positions, subset), value)
            total += weight * (with_it - without)
    return total


def _gain(positions: Positions, value: Value) -> float:
    """What does not start, or is stopped, brings nothing."""
    return max(value(positions), 0.0)


def _joined(
    moved: Sequence[int], positions: Positions, value: Value, shares: Mapping[int, float]
) -> list[tuple[int, ...]]:
    """Changes that do nothing alone, or may not be made alone, with those beside which they do most."""
    found: list[tuple[int, ...]] = [(index,) for index in moved]
    while len(found) > 1:
        lame = next((group for group in found if _is_lame(group, positions, value, shares)), None)
        if lame is None:
            break
        found.remove(lame)
        partner = max(found, key=lambda group: _adds(lame, group, positions, value))
        found[found.index(partner)] = tuple(sorted((*lame, *partner)))
    return found


def _is_lame(group: tuple[int, ...], positions: Positions, value: Value, shares: Mapping[int, float]) -> bool:
    share = sum(shares[index] for index in group)
    return value(only(positions, group)) < _ALONE_LEAST * max(share, _ADDS_LEAST)


def _adds(lame: tuple[int, ...], group: tuple[int, ...], positions: Positions, value: Value) -> float:
    return value(only(positions, (*lame, *group))) - _gain(only(positions, group), value)


def _moved(positions: Positions) -> tuple[int, ...]:
    return tuple(index for index, number in enumerate(positions) if number)


def _without(positions: Positions, index: int) -> Positions:
    return tuple(0 if other == index else number for other, number in enumerate(positions))
