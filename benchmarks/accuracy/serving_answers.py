"""Serving measurements beside what was estimated for them: with constants as shipped, per fold, after seeing one."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.model import Measured, Model, Output, Value, reason_of, value_of
from benchmarks.accuracy.scores import Estimated, relative_error
from benchmarks.accuracy.serving import Row

TTFT, TPOT = "ttft", "tpot"
_NAMES = {TTFT: "ttftMilliseconds", TPOT: "itlMilliseconds"}
Grouping = Callable[[Row], object]


@dataclass(frozen=True)
class Asked:
    """A measurement and its document."""

    row: Row
    document: Document

    @property
    def measured(self) -> Measured:
        """What the row's instance measured."""
        return Measured(ttft=self.row.ttft, tpot=self.row.tpot)


@dataclass(frozen=True)
class Answered:
    """A measurement and its estimate; None, and why, where nothing was said.

    Attributes:
        row: The measurement.
        ttft: Estimate of the time to the first token.
        tpot: Estimate of the time per output token.
        tokens: Estimate of output tokens per second.
        reason: Why there is no estimate; "".
        seen: The measurement that it was calibrated by, if any.
    """

    row: Row
    ttft: Value | None
    tpot: Value | None
    tokens: Value | None
    reason: str = ""
    seen: Row | None = None

    def value(self, quantity: str) -> Value | None:
        """The estimate of ttft or tpot."""
        return self.ttft if quantity == TTFT else self.tpot

    def error(self, quantity: str) -> float | None:
        """How far off it is; None where nothing was said."""
        value = self.value(quantity)
        return None if value is None else relative_error(value.expected, measured(self.row, quantity))

    def estimated(self, quantity: str) -> Estimated | None:
        """The measured value beside the estimate."""
        value = self.value(quantity)
        return None if value is None else Estimated(measured(self.row, quantity), value.low, value.expected, value.high)


def measured(row: Row, quantity: str) -> float:
    """What was measured, milliseconds."""
    return row.ttft if quantity == TTFT else row.tpot


def answered(row: Row, output: Output, seen: Row | None = None) -> Answered:
    """The measurement beside what the output says."""
    ttft, tpot = value_of(output, _NAMES[TTFT]), value_of(output, _NAMES[TPOT])
    tokens = value_of(output, "outputTokensPerSecond")
    reason = reason_of(output) if ttft is None or tpot is None else ""
    return Answered(row, ttft, tpot, tokens, reason, seen)


def as_shipped(model: Model, asked: Sequence[Asked]) -> list[Answered]:
    """With the constants that the model has; those that ship are fitted to all of these rows: not a test of them."""
    outputs = model.estimate([one.document for one in asked])
    return [answered(one.row, output) for one, output in zip(asked, outputs, strict=True)]


def folds(asked: Sequence[Asked], grouping: Grouping) -> Iterator[tuple[list[Asked], list[Asked]]]:
    """For each group, the rest to fit and the group to test."""
    for group in dict.fromkeys(grouping(one.row) for one in asked):
        rest = [one for one in asked if grouping(one.row) != group]
        yield rest, [one for one in asked if grouping(one.row) == group]


def fitted_folds(model: Model, asked: Sequence[Asked], grouping: Grouping) -> list[tuple[Model, list[Asked]]]:
    """For each group, the model fitted to the other groups, and the group."""
    pairs = folds(asked, grouping)
    return [(model.fitted([(one.document, one.row) for one in rest]), group) for rest, group in pairs]


def never_seen(fitted: Sequence[tuple[Model, list[Asked]]]) -> list[Answered]:
    """Each group from its documents alone, with constants fitted to the other groups."""
    return [answer for model, group in fitted for answer in as_shipped(model, group)]


def seen_once(fitted: Sequence[tuple[Model, list[Asked]]]) -> list[Answered]:
    """Each group after one seen point of each deployment, with constants fitted to the other groups."""
    return [answer for model, group in fitted for answer in after_one(model, group)]


def after_one(model: Model, asked: Sequence[Asked]) -> list[Answered]:
    """Every point of a deployment estimated after every other point of it was seen.

    A seen point is one without marks: nobody should calibrate with a cold start or a full queue. A second run at the
    seen operating point is not asked for.
    """
    deployments: dict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        deployments[one.row.deployment].append(one)
    return [answer for points in deployments.values() for answer in _after_each(model, points)]


def _after_each(model: Model, points: Sequence[Asked]) -> Iterator[Answered]:
    for seen in points:
        if set(seen.row.marks) - {"speculation"}:
            continue
        others = [one for one in points if one.row.point != seen.row.point]
        if others:
            outputs = model.after_seeing((seen.document, seen.measured), [one.document for one in others])
            for one, output in zip(others, outputs, strict=True):
                yield answered(one.row, output, seen.row)


def after_extreme(answers: Sequence[Answered], *, highest: bool) -> list[Answered]:
    """Those whose seen point has the lowest, or highest, concurrency that the deployment was seen at."""
    bounds: dict[str, int] = {}
    for one in answers:
        if one.seen is not None:
            known = bounds.get(one.row.deployment, one.seen.concurrency)
            choose = max if highest else min
            bounds[one.row.deployment] = choose(known, one.seen.concurrency)
    return [one for one in answers if one.seen is not None and one.seen.concurrency == bounds[one.row.deployment]]
