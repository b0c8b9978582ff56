"""What a Prometheus answers: the only code that knows its JSON. Pure. All of it is foreign, nothing of it is trusted.

The format is that of https://prometheus.io/docs/prometheus/latest/querying/api/; Thanos, Mimir and VictoriaMetrics
answer the same. Of an answer's text nothing but known words ever gets into an error.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Generic, NoReturn, TypeVar

from inferplan.observe.prometheus_types import (
    Answer,
    NativeBucket,
    NativeHistogram,
    PrometheusError,
    RangeAnswer,
    Sample,
    Series,
)

REFUSED_ACCESS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

_ERROR_TYPES = frozenset({"timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found"})
"""web/api/v1/api.go, errorType."""

_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


def read_answer(status: int, body: bytes) -> Answer:
    """The instant vector in an answer of /api/v1/query.

    Raises:
        PrometheusError: It is anything else.
    """
    times: set[float] = set()  # one, unless the answer is odd

    def read(entry: Mapping[str, Any]) -> Sample:
        sample, at = _sample(entry)
        times.add(at)
        return sample

    samples, warnings = _result(status, body, _Wanted("vector", "instant vector", Sample), read)
    _no_duplicates([sample.labels for sample in samples])
    return Answer(tuple(samples), max(times, default=None), warnings)


def read_range(status: int, body: bytes) -> RangeAnswer:
    """The series in an answer of /api/v1/query_range.

    Raises:
        PrometheusError: It is anything else.
    """
    series, warnings = _result(status, body, _Wanted("matrix", "range of series", Series), _series)
    _no_duplicates([entry.labels for entry in series])
    return RangeAnswer(tuple(series), warnings)


_T = TypeVar("_T")

_ODD = (KeyError, AttributeError, TypeError, ValueError, OverflowError)
"""What reading JSON of another shape raises."""


@dataclass(frozen=True)
class _Wanted(Generic[_T]):
    """The resultType, what it is called in an error, and what its series become."""

    kind: str
    told: str
    becomes: type[_T]


def _result(
    status: int, body: bytes, wanted: _Wanted[_T], read: Callable[[Mapping[str, Any]], _T]
) -> tuple[list[_T], int]:
    """The series in a successful answer of this kind, and the number of warnings."""
    _refuse_status(status, body)
    document = _document(status, body, _hook(read))
    if document.get("status") != "success":
        raise PrometheusError(f"it refuses the query ({_error_type(document) or 'unknown error'})")
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != wanted.kind or not isinstance(data.get("result"), list):
        raise PrometheusError(f"its answer is no {wanted.told}")
    result = data["result"]
    if not all(isinstance(entry, wanted.becomes) for entry in result):  # no JSON makes one, only the hook does
        raise PrometheusError("a series in its answer has no labels, no time or no number")
    warnings = document.get("warnings")
    return result, len(warnings) if isinstance(warnings, list) else 0


def _hook(read: Callable[[Mapping[str, Any]], _T]) -> Callable[[dict[str, Any]], dict[str, Any] | _T]:
    """Reads each series as soon as it is parsed, so that a large answer's JSON is never in memory as a whole.

    That leaves one object a series to the garbage collector, whose pauses grow with their number. The parser itself is
    C code and holds the interpreter's lock, in another thread too; this hook, called for each object, is where the
    lock can go to somebody else.
    """

    def hook(members: dict[str, Any]) -> dict[str, Any] | _T:
        if not isinstance(members.get("metric"), dict):  # a label of that name is text
            return members
        try:
            return read(members)
        except _ODD:
            return members

    return hook


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


def _document(status: int, body: bytes, hook: Callable[[dict[str, Any]], object] | None = None) -> dict[str, Any]:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_hook=hook)
    except (ValueError, RecursionError):
        raise PrometheusError(f"its answer (HTTP status {status}) is no JSON") from None
    if not isinstance(document, dict):
        raise PrometheusError("its answer is no JSON object")
    return document


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


def _series(entry: Mapping[str, Any]) -> Series:
    return Series(_labels(entry["metric"]), _points(entry.get("values", [])))


def _labels(metric: object) -> dict[str, str]:
    if not isinstance(metric, dict):
        raise TypeError("labels are an object")
    for value in metric.values():
        if not isinstance(value, str):
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
    """Servers sort labels by name, so the same labels have the same row of values; the exact look costs more."""
    if len({tuple(entry.values()) for entry in labels}) == len(labels):
        return
    if len({frozenset(entry.items()) for entry in labels}) != len(labels):
        raise PrometheusError("two series in its answer have the same labels")
