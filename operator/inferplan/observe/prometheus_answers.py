"""What a Prometheus answers: the only code that knows its JSON. Pure. All of it is foreign, nothing of it is trusted.

The format is that of https://prometheus.io/docs/prometheus/latest/querying/api/; Thanos, Mimir and VictoriaMetrics
answer the same. Of an answer's text nothing but known words ever gets into an error.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any, NoReturn

REFUSED_ACCESS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

_ERROR_TYPES = frozenset({"timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found"})
"""web/api/v1/api.go, errorType."""

_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class PrometheusError(Exception):
    """Prometheus could not be asked, or answered what is no result; one line, without any text of the answer.

    Attributes:
        passing: Whether the same query may work a moment later.
        wait_seconds: How long the server asked to wait before that.
    """

    def __init__(self, message: str, *, passing: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.passing = passing
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class NativeBucket:
    """One bucket of a native histogram, in the histogram's unit; `count` observations lie between the bounds."""

    lower: float
    upper: float
    count: float


@dataclass(frozen=True)
class NativeHistogram:
    """A native histogram, or a rate of one: then the numbers are per second.

    Attributes:
        count: Observations.
        total: Sum of the observed values; NaN when a NaN was observed.
        buckets: Those that are not empty, by bound, without overlap.
    """

    count: float
    total: float
    buckets: tuple[NativeBucket, ...]

    def cumulated(self) -> tuple[tuple[float, float], ...]:
        """(Upper bound, observations up to it), by bound, the last one up to infinity: as a classic histogram has them.

        Empty buckets are not transferred, so where one is missing its bound comes back as a point of its own:
        observations of the next bucket are then not spread over the gap. Below the first bucket's bound nothing was
        observed; a first bucket around zero, or one without a lower bound, starts at zero, as PromQL reads it.
        """
        points: list[tuple[float, float]] = []
        below = 0.0
        for at, bucket in enumerate(self.buckets):
            lower = max(bucket.lower, 0.0) if at == 0 and bucket.upper > 0 else bucket.lower
            if math.isfinite(lower) and (not points or lower > points[-1][0]):
                points.append((lower, below))
            below += bucket.count
            points.append((bucket.upper, below))
        if not points or points[-1][0] != math.inf:
            points.append((math.inf, max(below, self.count)))
        return tuple(points)


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector.

    Attributes:
        labels: Its labels, the metric's name included where the query kept it.
        value: Its value, NaN or infinite too, as PromQL allows; NaN where it is a native histogram.
        histogram: Its value where it is a native histogram.
    """

    labels: Mapping[str, str]
    value: float
    histogram: NativeHistogram | None = None


@dataclass(frozen=True)
class Answer:
    """An instant vector.

    Attributes:
        samples: Its series, no two with the same labels.
        evaluated_at: When it was evaluated, by the server's clock, Unix seconds; None without a series.
        warnings: Warnings that came along: Thanos and Mimir warn when a part of the data could not be read.
    """

    samples: tuple[Sample, ...] = ()
    evaluated_at: float | None = None
    warnings: int = 0


@dataclass(frozen=True)
class Series:
    """One series of a range: (Unix seconds, value), oldest first. One of native histograms alone has no points."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class RangeAnswer:
    """A range's series, no two with the same labels, and how many warnings came along."""

    series: tuple[Series, ...] = ()
    warnings: int = 0


def clock_skew_seconds(answer: Answer, now: float) -> float | None:
    """How far the server's clock is ahead of `now` (Unix seconds, ours); None where the answer has no series.

    The answer's way and the evaluation count as a clock that is behind: below a query's timeout it says nothing.
    """
    return None if answer.evaluated_at is None else answer.evaluated_at - now


def read_answer(status: int, body: bytes) -> Answer:
    """The instant vector in an answer of /api/v1/query.

    Raises:
        PrometheusError: It is anything else.
    """
    result, warnings = _result(status, body, "vector", "instant vector")
    try:
        read = [_sample(entry) for entry in result]
    except _ODD:
        raise PrometheusError(_ODD_SERIES) from None
    _no_duplicates([sample.labels for sample, _ in read])
    evaluated_at = max((at for _, at in read), default=None)
    return Answer(tuple(sample for sample, _ in read), evaluated_at, warnings)


def read_range(status: int, body: bytes) -> RangeAnswer:
    """The series in an answer of /api/v1/query_range.

    Raises:
        PrometheusError: It is anything else.
    """
    result, warnings = _result(status, body, "matrix", "range of series")
    try:
        series = tuple(Series(_labels(entry["metric"]), _points(entry.get("values", []))) for entry in result)
    except _ODD:
        raise PrometheusError(_ODD_SERIES) from None
    _no_duplicates([entry.labels for entry in series])
    return RangeAnswer(series, warnings)


_ODD = (KeyError, AttributeError, TypeError, ValueError, OverflowError)
"""What reading JSON of another shape raises."""

_ODD_SERIES = "a series in its answer has no labels, no time or no number"


def _result(status: int, body: bytes, kind: str, told: str) -> tuple[list[Any], int]:
    """The series in a successful answer of this kind, and the number of warnings."""
    _refuse_status(status, body)
    document = _document(status, body)
    if document.get("status") != "success":
        raise PrometheusError(f"it refuses the query ({_error_type(document) or 'unknown error'})")
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != kind or not isinstance(data.get("result"), list):
        raise PrometheusError(f"its answer is no {told}")
    warnings = document.get("warnings")
    return data["result"], len(warnings) if isinstance(warnings, list) else 0


def _refuse_status(status: int, body: bytes) -> None:
    """Raises for a status that says enough by itself; a refused query's reason is in the body."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise PrometheusError("it redirects, which is not followed; set the source to the final URL")
    if status in REFUSED_ACCESS:
        raise PrometheusError(f"it refuses access (HTTP status {status})")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY:
        kind = _server_error_type(body)
        # It has worked on the query until its own limit: the same again only adds to its load.
        passing = status != HTTPStatus.NOT_IMPLEMENTED and kind != "timeout"
        told = f"it answers with HTTP status {status}" + (f" ({kind})" if kind else "")
        raise PrometheusError(told, passing=passing)


_SMALL = 64 * 1024  # an error document of Prometheus is far below


def _server_error_type(body: bytes) -> str | None:
    try:
        return _error_type(_document(HTTPStatus.OK, body)) if len(body) <= _SMALL else None
    except PrometheusError:
        return None


def _error_type(document: Mapping[str, Any]) -> str | None:
    kind = document.get("errorType")
    return kind if isinstance(kind, str) and kind in _ERROR_TYPES else None


def _document(status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_hook=_as_it_is)
    except (ValueError, RecursionError):
        raise PrometheusError(f"its answer (HTTP status {status}) is no JSON") from None
    if not isinstance(document, dict):
        raise PrometheusError("its answer is no JSON object")
    return document


def _as_it_is(members: dict[str, Any]) -> dict[str, Any]:
    """Changes nothing, but lets other threads run.

    The parser is C code and holds the interpreter's lock to its end, in another thread too; a hook in Python, called
    for each object, is where the lock can go to somebody else.
    """
    return members


def _no_constant(word: str) -> NoReturn:
    """JSON has no NaN and no Infinity, which Python would read."""
    raise ValueError(word)


def _sample(entry: Mapping[str, Any]) -> tuple[Sample, float]:
    labels = _labels(entry["metric"])
    if "histogram" in entry:
        at, histogram = entry["histogram"]
        return Sample(labels, math.nan, _histogram(histogram)), _time(at)
    at, text = entry["value"]
    return Sample(labels, _value(text)), _time(at)


def _labels(metric: object) -> dict[str, str]:
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise TypeError("labels are text")
    return metric


def _time(value: object) -> float:
    """Unix seconds: the one plain number of a sample."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("times are numbers")
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError("no time")
    return seconds


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|Inf|NaN)", re.ASCII)


def _value(text: object) -> float:
    """A number as Go's strconv.FormatFloat writes it, in text: JSON itself knows no NaN."""
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise TypeError("values are numbers in text")
    return float(text)


def _histogram(plain: Mapping[str, Any]) -> NativeHistogram:
    buckets = tuple(_bucket(*entry) for entry in plain.get("buckets", []))
    if any(lower.upper > upper.lower for lower, upper in pairwise(buckets)):
        raise ValueError("buckets overlap")
    return NativeHistogram(_value(plain["count"]), _value(plain["sum"]), buckets)


def _bucket(_rule: object, lower: object, upper: object, count: object) -> NativeBucket:
    """One bucket; the rule tells whether the bounds themselves belong to it, which no quantile depends on."""
    bucket = NativeBucket(_value(lower), _value(upper), _value(count))
    if not (bucket.lower < bucket.upper and 0 <= bucket.count < math.inf):
        raise ValueError("no bucket")
    return bucket


def _points(values: object) -> tuple[tuple[float, float], ...]:
    if not isinstance(values, list):
        raise TypeError("values are a list")
    points = tuple((_time(at), _value(text)) for at, text in values)
    if any(earlier[0] >= later[0] for earlier, later in pairwise(points)):
        raise ValueError("times go up")
    return points


def _no_duplicates(labels: Sequence[Mapping[str, str]]) -> None:
    if len({frozenset(entry.items()) for entry in labels}) != len(labels):
        raise PrometheusError("two series in its answer have the same labels")
