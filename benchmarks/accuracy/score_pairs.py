"""Scores of what one change does: direction, size, and promises that were not kept."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.accuracy.lines import Line, Target
from benchmarks.accuracy.model import Output, memory_of, reason_of, value_of
from benchmarks.accuracy.pairs import LESS_IS_BETTER, METRICS, Pair
from benchmarks.accuracy.scores import (
    Effect,
    group_weights,
    median,
    percentile,
    relative_error,
    share,
    weighted_median,
    weighted_share,
)

_MEMORY = frozenset({"kvCacheTokens", "weightsBytes"})
_DIRECTION, _ERROR, _OVERPROMISED = Target(least=0.95), Target(most=0.08), Target(most=0.05)


@dataclass(frozen=True)
class Judged:
    """A pair with the effect that was predicted; None, and why, where one side has no value."""

    pair: Pair
    effect: Effect | None
    reason: str


def judged(pairs: Sequence[Pair], before: Sequence[Output], after: Sequence[Output]) -> list[Judged]:
    """Pairs beside the outputs for their two sides, each by its leading metric."""
    return [_judge(*three) for three in zip(pairs, before, after, strict=True)]


def _judge(pair: Pair, before: Output, after: Output) -> Judged:
    name = METRICS[pair.metric]
    first, second = _value(pair, before, name), _value(pair, after, name)
    if not first or second is None:
        reason = reason_of(before if not first else after)
        return Judged(pair, None, reason)
    effect = Effect(
        metric=pair.metric,
        predicted=second / first,
        measured=pair.ratios[pair.metric],
        group=pair.source,
        more_is_better=name not in LESS_IS_BETTER,
    )
    return Judged(pair, effect, "")


def _value(pair: Pair, output: Output, name: str) -> float | None:
    if name in _MEMORY:
        found = memory_of(output, name)
    elif name == "duration":
        return _duration(pair, output)
    else:
        found = value_of(output, name)
    return None if found is None else found.expected


def _duration(pair: Pair, output: Output) -> float | None:
    """Milliseconds of a whole request: TTFT + (tokens - 1) x TPOT."""
    ttft, tpot = value_of(output, "ttftMilliseconds"), value_of(output, "itlMilliseconds")
    tokens = pair.before["spec"]["workload"]["outputTokens"]
    return None if ttft is None or tpot is None else ttft.expected + (tokens - 1) * tpot.expected


def effect_lines(key: str, what: str, found: Sequence[Judged], *, target: bool) -> Iterator[Line]:
    """Direction, error and overpromises: every pair alike, and every source alike."""
    effects = [one.effect for one in found if one.effect is not None]
    notable = [effect for effect in effects if effect.notable]
    asked = sum(abs(one.pair.ratios[one.pair.metric] - 1) > 0.05 for one in found)  # noqa: PLR2004  as Effect.notable
    right = [effect.right_direction for effect in notable]
    errors = [effect.error for effect in effects]
    over = [effect.overpromised for effect in effects]
    wanted = (_DIRECTION, _ERROR, _OVERPROMISED) if target else (None, None, None)
    size = (len(effects), len(found))
    naive = _naive(found)
    direction = {"constant ratio": naive["direction"]}
    error = {"no effect": naive["none"], "constant ratio": naive["error"]}
    yield Line(
        f"{key}.direction",
        f"{what}: right direction, effect > 5 %",
        share(right),
        len(right),
        asked,
        wanted[0],
        beside=direction,
    )
    yield Line(f"{key}.error", f"{what}: median error of the ratio", median(errors), *size, wanted[1], beside=error)
    yield Line(f"{key}.overpromised", f"{what}: promised over 10 points too much", share(over), *size, wanted[2])
    yield from _realized(key, what, effects)
    yield from _by_source(key, what, effects, notable, wanted)


def _realized(key: str, what: str, effects: Sequence[Effect]) -> Iterator[Line]:
    """How much of a predicted speed-up comes true: what the low end of an effect's interval has to be."""
    kept = [effect.realized for effect in effects]
    for share_of, name in ((0.1, "10th"), (0.9, "90th")):
        yield Line(
            f"{key}.realized.{name}",
            f"{what}: realized over predicted ratio, {name} percentile",
            percentile(kept, share_of),
            len(kept),
            len(kept),
        )


def _by_source(
    key: str, what: str, effects: Sequence[Effect], notable: Sequence[Effect], wanted: Sequence[Target | None]
) -> Iterator[Line]:
    weights, heavy = group_weights(effects), group_weights(notable)
    right = weighted_share([effect.right_direction for effect in notable], heavy)
    error = weighted_median([effect.error for effect in effects], weights)
    over = weighted_share([effect.overpromised for effect in effects], weights)
    sizes, few = (len(effects), len(effects)), (len(notable), len(notable))
    named = f"{what}, each source alike"
    yield Line(f"{key}.direction.by_source", f"{named}: right direction", right, *few, wanted[0])
    yield Line(f"{key}.error.by_source", f"{named}: median error of the ratio", error, *sizes, wanted[1])
    yield Line(f"{key}.overpromised.by_source", f"{named}: promised too much", over, *sizes, wanted[2])


def _naive(found: Sequence[Judged]) -> dict[str, float | None]:
    """What "no effect" and the median ratio of the other sources' pairs of that category would score."""
    known = [(one.pair, one.effect) for one in found if one.effect is not None]
    ratios: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for pair, effect in known:
        ratios[pair.category].append((pair.source, effect.measured))
    told = [replace(effect, predicted=_guess(pair, ratios[pair.category])) for pair, effect in known]
    return {
        "none": median(relative_error(1.0, effect.measured) for _, effect in known),
        "error": median(effect.error for effect in told),
        "direction": share(effect.right_direction for effect in told if effect.notable),
    }


def _guess(pair: Pair, ratios: Sequence[tuple[str, float]]) -> float:
    others = [ratio for source, ratio in ratios if source != pair.source]
    return statistics.median(others) if others else 1.0
