"""All combinations of the levers' options, forecast at once. Pure.

A combination is one position for each lever: 0 stays, n is its n-th option. Options that only move limits are arrays
within one configuration; each combination of the others is a configuration of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inferplan.api.values import ConfigChange
from inferplan.domain.lever import Lever, LimitKey, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.engine.budget import after_changes, moves
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
        running: The configuration and model that run.
        levers: The levers.
        settled: Changes that are made whatever else is.
    """

    def __init__(
        self,
        observation: Observation,
        forecast: Forecast,
        running: Place,
        levers: Sequence[Lever],
        settled: Sequence[ConfigChange] = (),
    ) -> None:
        self._observation, self._forecast, self._running = observation, forecast, running
        self.today = Place(self._after(running, settled), running.card)
        self.levers = _bounded(levers)

    def chosen(self, positions: Positions) -> tuple[tuple[Lever, Option], ...]:
        """The levers that a combination moves, and where to."""
        moved = zip(self.levers, positions, strict=True)
        return tuple((lever, lever.options[position - 1]) for lever, position in moved if position)

    def changes(self, positions: Positions) -> tuple[ConfigChange, ...]:
        """The settings that it changes."""
        return tuple(change for _, option in self.chosen(positions) for change in option.changes)

    def place(self, positions: Positions, *, alone: bool = False) -> Place:
        """The configuration that it is.

        Args:
            positions: The combination.
            alone: Without what is settled.
        """
        start, options = self._running if alone else self.today, [option for _, option in self.chosen(positions)]
        card = next((option.card for option in options if option.card is not None), start.card)
        config = self._after(replace(start, card=card), self.changes(positions))
        doubt = float(np.sqrt(sum(option.doubt**2 for option in options)))
        return Place(config, card, doubt)

    def _after(self, place: Place, changes: Iterable[ConfigChange]) -> ServingConfig:
        return after_changes(place.config, changes, self._observation.accelerator, place.card)

    def stay(self) -> Positions:
        """The combination that moves nothing."""
        return (0,) * len(self.levers)

    def table(self) -> Table | Missing:
        """Every combination, forecast; why not where today's own configuration has no forecast."""
        limits = [index for index, lever in enumerate(self.levers) if self._only_limits(index, lever)]
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
        place = self.place(base)
        outlook = self._forecast.outlook(place, self._moves(rows, limits, place.config))
        return outlook if isinstance(outlook, Missing) else Table(rows, outlook)

    def _moves(self, rows: NDArray[np.int64], limits: Sequence[int], base: ServingConfig) -> Moves:
        """The limits of each row: those that are set, and those that follow from them."""
        keys = {index: frozenset[str]().union(*_keys(self.levers[index])) for index in limits}
        shares = [index for index in limits if keys[index] == {LimitKey.UTILIZATION}]
        apart = rows.copy()
        apart[:, shares] = 0  # no other limit follows from the share of memory, which has the most options
        kinds, which = np.unique(apart, axis=0, return_inverse=True)
        configs = [self.place(tuple(map(int, kind))).config for kind in kinds]
        moved: dict[LimitKey, NDArray[np.float64]] = {}
        for key in LimitKey:
            values = np.array([_number(config, key) or _number(base, key) for config in configs])
            if np.ptp(values) > 0 or any(key in own for own in keys.values()):
                moved[key] = values[which.ravel()]
        for index in shares:
            places = [self.place(self._alone(index, at)) for at in range(len(self.levers[index].options) + 1)]
            shared = np.array([_number(place.config, LimitKey.UTILIZATION) for place in places])
            moved[LimitKey.UTILIZATION] = shared[rows[:, index]]
        return moved

    def _alone(self, index: int, number: int) -> Positions:
        """One lever moved."""
        return tuple(number if at == index else 0 for at in range(len(self.levers)))

    def _only_limits(self, index: int, lever: Lever) -> bool:
        """Whether every option gives new numbers to the same known limits, and moves nothing else."""
        keys = _keys(lever)
        if len(keys) > 1 or not _LIMITS.issuperset(*keys):
            return False
        for number in range(1, len(lever.options) + 1):
            after = self.place(self._alone(index, number)).config
            moved = moves(self.today.config, after)
            if not all(key in _LIMITS and _is_number(old) and _is_number(new) for key, old, new in moved):
                return False
        return True


def _bounded(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    """The levers, the longest without their last options until the combinations are few enough."""
    kept = [lever for lever in levers if lever.options]
    while np.prod([len(lever.options) + 1 for lever in kept], dtype=np.float64) > COMBINATIONS_MAX:
        longest = max(range(len(kept)), key=lambda index: len(kept[index].options))
        old = kept[longest]
        kept[longest] = Lever(old.optimizer, old.type, old.options[:-1])
    return tuple(kept)


def _keys(lever: Lever) -> set[frozenset[str]]:
    """The settings that its options change."""
    return {frozenset(change.parameter for change in option.changes) for option in lever.options}


def _number(config: ServingConfig, key: LimitKey) -> float:
    return config.fraction(key) or 0.0


def _is_number(value: SettingValue | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _joined(outlooks: Sequence[Outlook]) -> Outlook:
    return Outlook(**{name: np.concatenate([getattr(one, name) for one in outlooks]) for name in vars(outlooks[0])})
