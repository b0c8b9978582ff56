"""All combinations of the levers' options, forecast at once. Pure.

A combination is one position for each lever: 0 stays, n is its n-th option. Options that only move limits are arrays
within one configuration; each combination of the others is a configuration of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inferplan.api.values import ConfigChange
from inferplan.domain.lever import Lever, LimitKey, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.engine.budget import after_changes
from inferplan.estimate.forecast import Forecast, Moves, Outlook, Place

Positions = tuple[int, ...]

COMBINATIONS_MAX = 20_000
"""Ten times what one plan looks at; beyond, the levers' last options are left out (4,000 take a few milliseconds)."""

_LIMITS = frozenset(LimitKey)


@dataclass(frozen=True)
class Table:
    """Every combination that has a forecast, and what it gives.

    Attributes:
        positions: One row for each combination, one column for each lever; the first row stays everywhere.
        outlook: What each gives, in the same order.
    """

    positions: NDArray[np.int64]
    outlook: Outlook

    def row(self, positions: Positions) -> int | None:
        """Where a combination stands; None for one that has no forecast."""
        found = np.flatnonzero((self.positions == np.array(positions, dtype=np.int64)).all(axis=1))
        return int(found[0]) if found.size else None


class Space:
    """The levers of one instance.

    Args:
        observation: What was seen.
        forecast: What says what a combination gives.
        today: The configuration and model that run.
        levers: The levers.
    """

    def __init__(self, observation: Observation, forecast: Forecast, today: Place, levers: Sequence[Lever]) -> None:
        self._observation, self._forecast, self._today = observation, forecast, today
        self.levers = _bounded(levers)

    def chosen(self, positions: Positions) -> tuple[tuple[Lever, Option], ...]:
        """The levers that a combination moves, and where to."""
        moved = zip(self.levers, positions, strict=True)
        return tuple((lever, lever.options[position - 1]) for lever, position in moved if position)

    def changes(self, positions: Positions) -> tuple[ConfigChange, ...]:
        """The settings that it changes."""
        return tuple(change for _, option in self.chosen(positions) for change in option.changes)

    def place(self, positions: Positions) -> Place:
        """The configuration that it is."""
        options = [option for _, option in self.chosen(positions)]
        config = after_changes(self._today.config, self.changes(positions))
        card = next((option.card for option in options if option.card is not None), self._today.card)
        doubt = float(np.sqrt(sum(option.doubt**2 for option in options)))
        return Place(config, card, doubt)

    def stay(self) -> Positions:
        """The combination that moves nothing."""
        return (0,) * len(self.levers)

    def table(self) -> Table | Missing:
        """Every combination, forecast; why not where today's own configuration has no forecast."""
        limits = [index for index, lever in enumerate(self.levers) if _only_limits(lever, self._today.config)]
        others = [index for index in range(len(self.levers)) if index not in limits]
        within = list(product(*(range(len(self.levers[index].options) + 1) for index in limits)))
        parts: list[Table] = []
        for outer in product(*(range(len(self.levers[index].options) + 1) for index in others)):
            part = self._part(dict(zip(others, outer, strict=True)), limits, within)
            if isinstance(part, Missing) and not parts:
                return part
            if not isinstance(part, Missing):
                parts.append(part)
        return Table(np.concatenate([part.positions for part in parts]), _joined([part.outlook for part in parts]))

    def _part(self, fixed: dict[int, int], limits: list[int], within: list[Positions]) -> Table | Missing:
        """All limits of one configuration."""
        rows = np.zeros((len(within), len(self.levers)), dtype=np.int64)
        for index, position in fixed.items():
            rows[:, index] = position
        for column, index in enumerate(limits):
            rows[:, index] = [positions[column] for positions in within]
        base = tuple(fixed.get(index, 0) for index in range(len(self.levers)))
        outlook = self._forecast.outlook(self.place(base), self._moves(rows, limits))
        return outlook if isinstance(outlook, Missing) else Table(rows, outlook)

    def _moves(self, rows: NDArray[np.int64], limits: list[int]) -> Moves:
        moves: dict[LimitKey, NDArray[np.float64]] = {}
        for index in limits:
            for change in self.levers[index].options[0].changes:
                key = LimitKey(change.parameter)
                own = _number(self._today.config, key)
                values = [own, *(_value(option, key) for option in self.levers[index].options)]
                moves[key] = np.array(values)[rows[:, index]]
        return moves


def _bounded(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    """The levers, the longest without their last options until the combinations are few enough."""
    kept = [lever for lever in levers if lever.options]
    while np.prod([len(lever.options) + 1 for lever in kept], dtype=np.float64) > COMBINATIONS_MAX:
        longest = max(range(len(kept)), key=lambda index: len(kept[index].options))
        old = kept[longest]
        kept[longest] = Lever(old.optimizer, old.type, old.options[:-1])
    return tuple(kept)


def _only_limits(lever: Lever, today: ServingConfig) -> bool:
    """Whether every option gives new numbers to the same known limits, and nothing else."""
    changes = [change for option in lever.options for change in option.changes]
    keys = {frozenset(change.parameter for change in option.changes) for option in lever.options}
    numbers = all(isinstance(change.recommended_value, int | float) for change in changes)
    known = all(change.parameter in _LIMITS and today.fraction(change.parameter) for change in changes)
    return len(keys) == 1 and numbers and known


def _value(option: Option, key: LimitKey) -> float:
    found = next(change.recommended_value for change in option.changes if change.parameter == key)
    return float(found) if isinstance(found, int | float) else float("nan")


def _number(config: ServingConfig, key: LimitKey) -> float:
    return config.fraction(key) or 0.0


def _joined(outlooks: Sequence[Outlook]) -> Outlook:
    return Outlook(**{name: np.concatenate([getattr(one, name) for one in outlooks]) for name in vars(outlooks[0])})
