"""Scores of KV capacity: from the arguments alone, and of another setting after one was seen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.kv_cases import Case
from benchmarks.accuracy.lines import Line, Target
from benchmarks.accuracy.model import Measured, Model, Output, memory_of, reason_of
from benchmarks.accuracy.scores import median, percentile, relative_error, share

_NAMES = {"tokens": "kvCacheTokens", "concurrency": "maxConcurrency", "bytes": "kvCacheBytes"}
_MEASURED = {"tokens": "kv_cache_tokens", "concurrency": "max_concurrency", "bytes": "kv_cache_bytes"}


@dataclass(frozen=True)
class Sized:
    """A case with what was estimated; None, and why, where nothing was."""

    case: Case
    expected: float | None
    covered: bool
    fits: bool | None
    reason: str

    @property
    def error(self) -> float | None:
        """How far off, as a share of what the log said; None of a server that did not start."""
        if self.expected is None or not self.case.fits:
            return None
        return relative_error(self.expected, self.case.measured)


def sized(cases: Sequence[Case], outputs: Sequence[Output]) -> list[Sized]:
    """Cases beside what was said of them."""
    return [_one(case, output) for case, output in zip(cases, outputs, strict=True)]


def _one(case: Case, output: Output) -> Sized:
    value = memory_of(output, _NAMES[case.quantity])
    fits = (output.get("memory") or {}).get("fits")
    if value is None:
        return Sized(case, None, covered=False, fits=fits, reason=reason_of(output))
    covered = value.low <= case.measured <= value.high
    return Sized(case, value.expected, covered=covered, fits=fits, reason="")


def capacity_lines(found: Sequence[Sized]) -> Iterator[Line]:
    """Capacity from the arguments alone."""
    what = "KV capacity from args"
    holding = [one for one in found if one.case.fits]
    known = [one for one in holding if one.case.known]
    assumed = [one for one in holding if not one.case.known]
    yield _line("kv.args.median", f"{what}, median error, utilization stated", known, 0.5, 0.03)
    yield _line("kv.args.p90", f"{what}, 90th percentile, utilization stated", known, 0.9, 0.10)
    yield _line("kv.assumed.median", f"{what}, median error, utilization not stated", assumed, 0.5, None)
    yield _line("kv.assumed.p90", f"{what}, 90th percentile, utilization not stated", assumed, 0.9, None)
    covered = [one.covered for one in known if one.expected is not None]
    size = (len(covered), len(known))
    yield Line("kv.args.coverage", f"{what}: 80 % intervals cover", share(covered), *size, _COVERAGE)
    refused = [one for one in found if not one.case.fits]
    told = [one.fits is False or one.expected == 0 for one in refused]
    yield Line("kv.does_not_fit", "KV capacity: told that a model does not fit", share(told), len(told), len(told))


_COVERAGE = Target(least=0.75, most=0.90)


def _line(key: str, what: str, found: Sequence[Sized], place: float, most: float | None) -> Line:
    errors = _errors(found)
    target = None if most is None else Target(most=most)
    return Line(key, what, percentile(errors, place), len(errors), len(found), target)


def _errors(found: Iterable[Sized]) -> list[float]:
    return [one.error for one in found if one.error is not None]


def after_seeing_lines(model: Model, cases: Sequence[Case]) -> Iterator[Line]:
    """Capacity of another setting of the same checkpoint, GPU and engine, each case in turn as the seen one."""
    same = [(seen, asked) for seen, asked in _ways(cases) if seen.same == asked.same]
    alike = [(seen, asked) for seen, asked in _ways(cases) if seen.alike == asked.alike and seen.same != asked.same]
    what = "KV capacity of another setting after seeing one, median error"
    yield _after_seeing("kv.seen.median", what, model, same, Target(most=0.01))
    what = "KV capacity after seeing another checkpoint or engine version, median error"
    yield _after_seeing("kv.seen_alike.median", what, model, alike, None)


def _after_seeing(key: str, what: str, model: Model, ways: Sequence[tuple[Case, Case]], target: Target | None) -> Line:
    errors, naive = [], []
    for seen, asked in ways:
        measured = Measured(**{_MEASURED[seen.quantity]: seen.measured})
        answer = _one(asked, model.after_seeing((seen.document, measured), [asked.document])[0])
        if answer.error is not None:
            errors.append(answer.error)
            naive.append(relative_error(seen.measured, asked.measured))
    return Line(key, what, median(errors), len(errors), len(ways), target, beside={"last value": median(naive)})


def _ways(cases: Sequence[Case]) -> Iterator[tuple[Case, Case]]:
    """Pairs whose numbers are of one kind, both of servers that started."""
    for seen in cases:
        for asked in cases:
            if seen.quantity == asked.quantity and seen.key != asked.key and seen.fits and asked.fits:
                yield seen, asked
