"""From levers to drafts: forecast, joint search, attribution. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inferplan.api.base import SHORT_TEXT_MAX, TEXT_MAX
from inferplan.api.instance import Objective
from inferplan.api.plan import Rejected
from inferplan.api.values import ConfigChange
from inferplan.diagnose.bottlenecks import Diagnosis
from inferplan.domain.lever import Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import SettingValue
from inferplan.engine.attribution import groups, only, without_idle
from inferplan.engine.choose import Search, Stopped, loses, standing_in
from inferplan.engine.effects import in_percent
from inferplan.engine.space import Positions, Space, Table
from inferplan.engine.wish import Wish, wish_of
from inferplan.estimate.forecast import Forecast, Place, Ratios
from inferplan.estimate.forecasting import forecast_of
from inferplan.estimate.learning import OperatingPoint

Standing = Mapping[str, SettingValue | None]
"""Settings of the plan that stands, by name; None for a flag that is taken out."""


@dataclass(frozen=True)
class Known:
    """What is settled before a search.

    Attributes:
        points: Windows of earlier looks at what runs now.
        standing: The plan that stands.
        beside: Changes that the plan makes whatever is found: what is found must be safe together with them.
    """

    points: Sequence[OperatingPoint] = ()
    standing: Standing | None = None
    beside: tuple[ConfigChange, ...] = ()


_COST_LEAST = 0.01
"""A constraint that costs less than a hundredth costs nothing to speak of."""

_BETTER = 1.01
"""Likewise a plan that is better by less is no other point of the frontier."""


@dataclass(frozen=True)
class Draft:
    """Changes that work together, before they are put into words.

    Attributes:
        moves: Levers and where they go.
        ratios: These changes alone against today.
        place: The configuration with these changes alone.
        score: How good they are alone.
        share: Their part of the whole plan's gain, 0 to 1.
    """

    moves: tuple[tuple[Lever, Option], ...]
    ratios: Ratios
    place: Place
    score: float
    share: float


@dataclass(frozen=True)
class Other:
    """Another plan that could be wanted: for another objective, or without any loss."""

    wanted: str
    moves: tuple[tuple[Lever, Option], ...]
    ratios: Ratios
    place: Place


@dataclass(frozen=True)
class Found:
    """What the search brought.

    Attributes:
        forecast: What made the numbers.
        wish: What was wanted.
        drafts: The plan's changes: first those that lose nothing, the largest share first; empty where nothing is worth
            it.
        ratios: All of them together against today; None where there are none.
        place: The configuration with all of them.
        score: How good they are together.
        others: Other points of the frontier.
        rejected: What was stopped, and what it costs.
    """

    forecast: Forecast
    wish: Wish
    drafts: tuple[Draft, ...]
    ratios: Ratios | None
    place: Place
    score: float
    others: tuple[Other, ...]
    rejected: tuple[Rejected, ...]

    @property
    def card(self) -> ModelCard:
        """The model that would run."""
        return self.place.card


def search(
    observation: Observation,
    diagnosis: Diagnosis,
    policy: Policy,
    levers: Sequence[Lever],
    known: Known | None = None,
) -> Found | Missing:
    """The best the levers give; why nothing where no forecast speaks.

    Args:
        observation: What was seen.
        diagnosis: What limits the instance.
        policy: What the owner wants.
        levers: What may be moved.
        known: What is settled before.
    """
    known = known or Known()
    forecast = forecast_of(observation, known.points, queued=diagnosis.queued)
    if isinstance(forecast, Missing):
        return forecast
    running = Place(forecast.ground.before, forecast.ground.model)
    space = Space(observation, forecast, running, levers, known.beside)
    table = space.table()
    if isinstance(table, Missing):
        return table
    wish = wish_of(observation, policy)
    kept = standing_in(space, known.standing) if known.standing else None
    made = Search(observation, policy, forecast, space, wish, space.today, kept, beside=known.beside)
    return _found(made, table)


def _lossless(made: Search) -> Search:
    """The search among changes that lose nothing, with what the plan that stands has of them."""
    kept = made.standing
    if kept is not None:
        options = [None if not at else lever.options[at - 1] for lever, at in zip(made.space.levers, kept, strict=True)]
        kept = tuple(0 if option is None or loses(option) else at for at, option in zip(kept, options, strict=True))
    return replace(made, standing=kept, lossless=True)


@dataclass(frozen=True)
class _Best:
    """The best plan for one wish.

    Attributes:
        safe: What of it loses nothing: so that what is safe stands by itself, and can be applied alone, however much
            more a risk would bring.
        positions: With what else is worth its risk on top.
        value: Scores.
        stopped: What stopped better ones.
    """

    safe: Positions
    positions: Positions
    value: "_Values"
    stopped: tuple[Stopped, ...]


def _best(made: Search, table: Table) -> _Best:
    """First the best plan that loses nothing, then what else is worth its risk on top of it, without idle changes."""
    value = _Values(made, table)
    lossless = _lossless(made).choose(table)
    safe = without_idle(lossless.positions, value)
    risky = any(loses(option) for lever in made.space.levers for option in lever.options)
    chosen = made.choose(table, safe) if risky else lossless
    positions = without_idle(chosen.positions, value, safe)
    dear = made.not_worth(table, value(positions)) if risky else None
    entries = (*chosen.stopped, *lossless.stopped, *((dear,) if dear is not None else ()))
    stopped = {entry.objection: entry for entry in entries}
    return _Best(safe, positions, value, tuple(stopped.values()))


def _found(made: Search, table: Table) -> Found:
    best = _best(made, table)
    value, positions = best.value, best.positions
    return Found(
        forecast=made.forecast,
        wish=made.wish,
        drafts=tuple(sorted(_drafts(made, positions, value), key=_loses)),
        ratios=value.ratios.get(positions),
        place=made.space.place(positions),
        score=value(positions),
        others=tuple(_others(made, table, best)),
        rejected=tuple(_rejected(made, positions, entry, value(positions)) for entry in best.stopped),
    )


class _Values:
    """Scores of combinations, -inf for one that is stopped; each is looked at once.

    Attributes:
        ratios: Those that nothing stops, of what was looked at, against today.
    """

    def __init__(self, made: Search, table: Table) -> None:
        self.ratios: dict[Positions, Ratios] = {}
        self._made, self._table = made, table
        self._scores = made.wish.scores(table.outlook)
        self._known: dict[Positions, float] = {made.space.stay(): 0.0}

    def __call__(self, positions: Positions) -> float:
        if positions not in self._known:
            row = self._table.row(positions)
            self._known[positions] = self._passed(positions, float(self._scores[row]) if row is not None else -np.inf)
        return self._known[positions]

    def _passed(self, positions: Positions, score: float) -> float:
        ratios = self._made.passed(positions, score) if np.isfinite(score) else None
        if ratios is None:
            return -np.inf
        self.ratios[positions] = ratios
        return score


def _loses(draft: Draft) -> bool:
    return any(loses(option) for _, option in draft.moves)


def _drafts(made: Search, positions: Positions, value: _Values) -> Iterator[Draft]:
    """Each group by itself; the search took none that something stops."""
    for group in groups(positions, value):
        alone = only(positions, group.levers)
        moves, place = made.space.chosen(alone), made.space.place(alone, alone=True)
        yield Draft(moves, value.ratios[alone], place, value(alone), group.share)


def _others(made: Search, table: Table, best: _Best) -> Iterator[Other]:
    """Other points of the frontier: what the plan would be without any loss, or for another objective.

    A plan that is no better than this one in anything is none of them.
    """
    seen = {best.positions, made.space.stay()}
    mine = best.value.ratios.get(best.positions)
    for wanted, positions, value in _wanted(made, table, best):
        if positions in seen or not np.isfinite(value(positions)):
            continue
        seen.add(positions)
        ratios, moves = value.ratios[positions], made.space.chosen(positions)
        spared = any(map(loses, _options(made, best.positions))) and not any(map(loses, _options(made, positions)))
        if mine is None or spared or _better_somewhere(ratios, mine):
            yield Other(wanted, moves, ratios, made.space.place(positions))


def _wanted(made: Search, table: Table, best: _Best) -> Iterator[tuple[str, Positions, _Values]]:
    yield "Without any loss", best.safe, best.value
    for objective in Objective:
        if objective is not made.wish.objective:
            other = _best(replace(made, wish=replace(made.wish, objective=objective), standing=None), table)
            yield f"For {objective}", other.positions, other.value


def _options(made: Search, positions: Positions) -> Iterator[Option]:
    return (option for _, option in made.space.chosen(positions))


def _better_somewhere(ratios: Ratios, mine: Ratios) -> bool:
    """Whether throughput or a latency is better than the plan's, in the middle of their intervals and not by noise."""
    pairs = ((ratios.itl, mine.itl), (ratios.ttft, mine.ttft), (mine.throughput, ratios.throughput))
    return any(less is not None and more is not None and less.middle < more.middle / _BETTER for less, more in pairs)


def _rejected(made: Search, positions: Positions, stopped: Stopped, score: float) -> Rejected:
    moves = made.space.chosen(stopped.positions)
    options = [stopped.option] if stopped.option is not None else [option for _, option in moves]
    title = "; ".join(option.title for option in options)
    return Rejected(
        option=title[:SHORT_TEXT_MAX],
        code=stopped.objection.code,
        reason=stopped.objection.reason[:TEXT_MAX],
        cost=_cost(made, positions, stopped) if stopped.score > score + _COST_LEAST else None,
    )


def _cost(made: Search, positions: Positions, stopped: Stopped) -> str | None:
    ratios = made.forecast.ratios(made.space.place(positions), made.space.place(stopped.positions))
    if isinstance(ratios, Missing):
        return None
    spans = {"throughput": ratios.throughput, "time between tokens": ratios.itl, "TTFT": ratios.ttft}
    told = [f"{name} {in_percent(span)}" for name, span in spans.items() if span is not None]
    return f"Without this: {', '.join(told)} against this plan."
