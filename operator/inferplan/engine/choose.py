"""The best combination that passes: the joint search behind a plan. Pure.

Combinations are taken best first. What stops one is kept with what it costs, so that the plan can say what a
constraint is worth; the first that nothing stops is the plan's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Effort
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.engine.guardrails import ALONE, TOGETHER, Deed, Objection, objection
from inferplan.engine.space import Positions, Space, Table
from inferplan.engine.wish import Target, Wish
from inferplan.estimate.forecast import Forecast, Place, Ratios, Span
from inferplan.estimate.step_shape import Floats

Counts = NDArray[np.int64]

TRIES_MAX = 300
"""Combinations that are looked at in turn; each takes about a millisecond, and those that follow differ little."""

PER_CHANGE = 0.015
"""What a further change must bring, as the logarithm of a ratio: below 1.5 % it is within what any forecast is off. It
pays for the restart too: 1.5 % of a day is what a replica loses in 22 minutes of starting."""

_PER_RISK = 0.10
"""What a change with an accuracy risk, a lost capability or a new checkpoint must bring on top. A choice."""

HARM_MOST = 0.03
"""Throughput may be worse by this at the low end of its interval, which is a window's noise, and beyond that by half of
what is to be gained: a loss that is likelier is no bet to take with somebody's server. A choice."""

GIVEN_UP_MOST = 0.2
"""Share of the throughput that may be given up for targets that are missed and would still be missed. What reaches one
may cost more, and the plan's first number says what. A choice."""

_WORSE = 1.02
"""A target that is missed, or not measured, may not get worse by more than a window's noise."""


@dataclass(frozen=True)
class Stopped:
    """A better combination that something stopped.

    Attributes:
        positions: The combination.
        objection: What stopped it.
        score: How good it would be (Wish.scores).
        option: The option that is objected to; None where it is the combination.
    """

    positions: Positions
    objection: Objection
    score: float
    option: Option | None = None


@dataclass(frozen=True)
class Choice:
    """What the search found.

    Attributes:
        positions: The combination; stays everywhere where nothing is worth it.
        score: How good it is.
        ratios: It against today; None where nothing changes.
        stopped: What stopped better ones, the best of each kind.
    """

    positions: Positions
    score: float
    ratios: Ratios | None
    stopped: tuple[Stopped, ...]


@dataclass
class Search:
    """One search.

    Attributes:
        observation: What was seen.
        policy: What the owner wants.
        forecast: What says what a combination gives.
        space: The levers.
        wish: The scores.
        today: The configuration that runs.
        standing: The combination of the plan that stands; None where there is none, or it is no combination today.
        lossless: Whether only changes are looked at that leave answers and what clients can ask for as they are.
        beside: Changes that are made whatever is found.
    """

    observation: Observation
    policy: Policy
    forecast: Forecast
    space: Space
    wish: Wish
    today: Place
    standing: Positions | None = None
    lossless: bool = False
    beside: tuple[ConfigChange, ...] = ()
    _verdicts: dict[tuple[int, int], Objection | None] = field(default_factory=dict)

    def choose(self, table: Table, settled: Positions | None = None) -> Choice:
        """The best combination that nothing stops; today's where none is better by enough.

        Args:
            table: Every combination.
            settled: Where some levers stand whatever else moves; 0 for one that is free.
        """
        scores, bad = self.wish.scores(table.outlook), self._bad_options(table)
        allowed = np.where(bad == 0, scores - self._prices(table), -np.inf)
        if settled is not None:
            kept = np.array(settled)
            allowed = np.where(((table.positions == kept) | (kept == 0)).all(axis=1), allowed, -np.inf)
        order = [int(row) for row in np.argsort(-allowed, kind="stable")[:TRIES_MAX]]
        barred = sorted(self._barred(table, scores, bad), key=lambda entry: entry.score)
        stopped = {entry.objection.reason: entry for entry in barred}  # the best of each stays
        stay = self.space.stay()
        for row in self._standing_first(table, allowed, order):
            positions, score = _row(table, row), float(scores[row])
            if positions == stay or not np.isfinite(allowed[row]):
                break
            if not self._worth(score):
                stopped.setdefault(Reason.GAIN_TOO_SMALL, Stopped(positions, self._too_small(score), score))
                continue
            found = self._checked(positions, score)
            if isinstance(found, Ratios):
                return Choice(positions, score, found, tuple(stopped.values()))
            stopped.setdefault(found.code, Stopped(positions, found, score))
        return Choice(stay, 0.0, None, tuple(stopped.values()))

    def not_worth(self, table: Table, chosen: float) -> Stopped | None:
        """The best combination whose risk is too dear for what it brings; None where there is none.

        Args:
            table: Every combination.
            chosen: How good the one is that was chosen.
        """
        scores, risks = self.wish.scores(table.outlook), self._risks(table)
        rows = np.flatnonzero((self._bad_options(table) == 0) & (risks > 0) & np.isfinite(scores))
        if not rows.size:
            return None
        best = int(rows[np.argmax(scores[rows])])
        positions, score = _row(table, best), float(scores[best])
        better = score > chosen + PER_CHANGE and self._worth(score)
        if not better or not isinstance(self._checked(positions, score), Ratios):
            return None
        why = "what can make answers worse, or takes something from clients, must bring"
        return Stopped(positions, Objection(Reason.RISK_NOT_WORTH, f"{why} {_PER_RISK:.0%} beyond the rest"), score)

    def _risks(self, table: Table) -> Counts:
        """How many options of each combination can lose something."""
        return self._summed(table, [[int(loses(option)) for option in lever.options] for lever in self.space.levers])

    def passed(self, positions: Positions, score: float) -> Ratios | None:
        """A combination against today; None where something stops it.

        Args:
            positions: The combination.
            score: How good it is.
        """
        found = self._checked(positions, score) if self._bad(positions) is None else None
        return found if isinstance(found, Ratios) else None

    def _worth(self, score: float) -> bool:
        """Whether the gain reaches what the owner asks for at least."""
        return score >= log(1 + self.policy.minimum_gain_percent / 100)

    def _too_small(self, score: float) -> Objection:
        asked = self.policy.minimum_gain_percent
        gains = f"it gains {exp(score) - 1:.1%} of what is wanted"
        why = f"{gains}; minimumGainPercent asks for {asked}%, as every pod restarts for it"
        return Objection(Reason.GAIN_TOO_SMALL, why)

    def _standing_first(self, table: Table, allowed: Floats, order: list[int]) -> Iterator[int]:
        """Rows best first; the plan that stands before all, as long as it is as good but for noise."""
        row = table.row(self.standing) if self.standing is not None else None
        if row is not None and allowed[row] >= allowed[order[0]] - 2 * PER_CHANGE:
            yield row
        yield from order

    def _prices(self, table: Table) -> Floats:
        """What a combination must bring for its number of changes and their risks."""
        return self._summed(table, [[_price(option) for option in lever.options] for lever in self.space.levers])

    def _bad_options(self, table: Table) -> Counts:
        """How many options of each combination may not be taken at all."""
        barred = [
            [
                int(self._alone(index, number) is not None or (self.lossless and loses(option)))
                for number, option in enumerate(lever.options, start=1)
            ]
            for index, lever in enumerate(self.space.levers)
        ]
        return self._summed(table, barred)

    def _summed(self, table: Table, values: Sequence[Sequence[float]]) -> NDArray[Any]:
        """Of each combination, the sum of what its options have; a lever that stays where it is has nothing."""
        total = np.zeros(len(table.positions))
        for index, of_lever in enumerate(values):
            total = total + np.array([0, *of_lever])[table.positions[:, index]]
        return total

    def _barred(self, table: Table, scores: Floats, bad: Counts) -> Iterator[Stopped]:
        """The best combination with each option that may not be taken at all, and with no other such option."""
        for index, lever in enumerate(self.space.levers):
            for number, option in enumerate(lever.options, start=1):
                verdict = self._alone(index, number)
                if verdict is None:
                    continue
                rows = np.flatnonzero((table.positions[:, index] == number) & (bad == 1))
                if not rows.size:  # nothing can be forecast with it
                    continue
                best = int(rows[np.argmax(scores[rows])])
                yield Stopped(_row(table, best), verdict, float(scores[best]), option)

    def _bad(self, positions: Positions) -> Objection | None:
        found = (self._alone(index, number) for index, number in enumerate(positions) if number)
        return next((verdict for verdict in found if verdict is not None), None)

    def _alone(self, index: int, number: int) -> Objection | None:
        """What is to be said against one option by itself."""
        if (index, number) not in self._verdicts:
            lever = self.space.levers[index]
            option = lever.options[number - 1]
            deed = Deed(option.changes, frozenset({lever.optimizer, lever.type}), option.card)
            self._verdicts[index, number] = objection(ALONE, deed, self.observation, self.policy)
        return self._verdicts[index, number]

    def _checked(self, positions: Positions, score: float) -> Ratios | Objection:
        """Its ratios to today where nothing stops it."""
        card = next((option.card for _, option in self.space.chosen(positions) if option.card is not None), None)
        deed = Deed((*self.beside, *self.space.changes(positions)), card=card)
        unsafe = objection(TOGETHER, deed, self.observation, self.policy)
        if unsafe is not None:
            return unsafe
        ratios = self.forecast.ratios(self.today, self.space.place(positions), self.wish.percentiles)
        if isinstance(ratios, Missing):
            return Objection(ratios.code, ratios.reason)
        return self._harm(ratios, score) or ratios

    def _harm(self, ratios: Ratios, score: float) -> Objection | None:
        """What speaks against the ratios: a target that could break, or a gain that could be a loss."""
        risks = (self._at_risk(target, target.span(ratios)) for target in self.wish.targets)
        risk = next((text for text in risks if text is not None), None)
        if risk is not None:
            return Objection(Reason.SLO_AT_RISK, risk)
        if self._too_dear(ratios):
            why = f"throughput would fall to {ratios.throughput.middle:.0%} of today's, and no target surely be reached"
            return Objection(Reason.THROUGHPUT_GIVEN_UP, why)
        span = ratios.throughput
        meant = min(0.0, log(span.expected)) if span.expected is not None else 0.0  # given up for a latency
        if meant - log(span.low) > HARM_MOST + max(score, 0.0) / 2:
            why = f"throughput could fall to {ratios.throughput.low:.0%} of today's (low end of the interval)"
            return Objection(Reason.GAIN_UNCERTAIN, why)
        return None

    def _too_dear(self, ratios: Ratios) -> bool:
        """Whether much is given up for targets of which none would be reached."""
        missed = [target for target in self.wish.targets if target.missed]
        if not missed or ratios.throughput.middle >= 1 - GIVEN_UP_MOST:
            return False
        return not any(target.reached(ratios) for target in missed)

    def _at_risk(self, target: Target, span: Span | None) -> str | None:
        """Why a target could break, or get worse; None where it holds or gets better."""
        if span is None or span.high <= _WORSE:
            return None
        if target.measured is None:
            return f"{target.name}: the effect cannot be bounded: {target.why}"
        bound = target.measured * span.high
        if bound <= target.slo.target_milliseconds:
            return None
        if target.missed and span.expected is not None and span.expected <= 1:
            return None
        return f"{target.name} could rise to {bound:.0f} ms, target {target.slo.target_milliseconds} ms"


def standing_in(space: Space, values: Mapping[str, object]) -> Positions | None:
    """The combination that gives these settings; None where the levers do not have it.

    Args:
        space: The levers.
        values: Recommended value by setting, None for a flag that is taken out.
    """
    positions, found = [], set[str]()
    for lever in space.levers:
        number = next((at for at, option in enumerate(lever.options, 1) if _gives(option, values)), 0)
        positions.append(number)
        if number:
            found |= {change.parameter for change in lever.options[number - 1].changes}
    return tuple(positions) if found and found == set(values) else None


def _gives(option: Option, values: Mapping[str, object]) -> bool:
    return all(
        change.parameter in values and values[change.parameter] == change.recommended_value for change in option.changes
    )


def loses(option: Option) -> bool:
    """Whether answers could get worse, or clients lose something that they could ask for."""
    return option.accuracy_risk is not None or option.capability_loss is not None


def _price(option: Option) -> float:
    risks = (option.accuracy_risk is not None, option.capability_loss is not None, option.effort is Effort.HIGH)
    return PER_CHANGE * len(option.changes) + _PER_RISK * sum(risks)


def _row(table: Table, row: int) -> Positions:
    return tuple(int(number) for number in table.positions[row])
