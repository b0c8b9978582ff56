"""What Prometheus answers is foreign: every odd answer is an error of ours, and none of its text gets on."""

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferplan.observe.prometheus_answers import read_answer, read_range
from inferplan.observe.prometheus_types import (
    Answer,
    NativeBucket,
    NativeHistogram,
    PrometheusError,
    RangeAnswer,
    Sample,
    Series,
    clock_skew_seconds,
)

SECRET = "secret-of-the-server"
NATIVE = {
    "count": "6",
    "sum": "3.5",
    "buckets": [[3, "-0.001", "0.001", "1"], [0, "0.5", "1", "2"], [0, "1", "2", "3"]],
}


def body(result: Any, kind: Any = "vector", **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}} | more).encode()


def series(value: Any, at: Any = 1.5, **labels: Any) -> dict[str, Any]:
    return {"metric": labels, "value": [at, value]}


def test_a_vector_becomes_samples() -> None:
    assert read_answer(200, body([series("1.5", pod="a")])) == Answer((Sample({"pod": "a"}, 1.5),), 1.5, 0)
    assert read_answer(200, body([])) == Answer((), None, 0)


@pytest.mark.parametrize("text", ["1", "-0.5", "1e+06", "1.5e-07", "0"])
def test_numbers_are_read_as_go_writes_them(text: str) -> None:
    (sample,) = read_answer(200, body([series(text)])).samples
    assert sample.value == float(text)


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_values_that_are_no_numbers_come_through_as_such(text: str) -> None:
    (sample,) = read_answer(200, body([series(text)])).samples
    assert not math.isfinite(sample.value)


def test_warnings_are_counted_and_infos_are_not() -> None:
    told = body([], warnings=[SECRET, "some data could not be read"], infos=["metric might not be a counter"])
    assert read_answer(200, told).warnings == 2
    assert read_answer(200, body([], warnings=SECRET)).warnings == 0


def test_the_servers_clock_is_compared_with_ours() -> None:
    answer = read_answer(200, body([series("1", 1_000.0, pod="a"), series("1", 1_000.25, pod="b")]))
    assert answer.evaluated_at == 1_000.25
    assert clock_skew_seconds(answer, 700.25) == 300.0  # the server is five minutes ahead
    assert clock_skew_seconds(answer, 1_060.25) == -60.0
    assert clock_skew_seconds(read_answer(200, body([])), 700.0) is None


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (200, f"<html>{SECRET}</html>".encode(), "no JSON"),
        (200, body([series("1")])[:-9], "no JSON"),
        (200, b"", "no JSON"),
        (200, b"\xff\xfe", "no JSON"),
        (200, b"[" * 200_000, "no JSON"),
        (200, b'{"status": ' + b"1" * 5_000 + b"}", "no JSON"),  # more digits than Python reads
        (200, b'{"status": "success", "data": NaN}', "no JSON"),
        (200, body([series("1", math.inf)]), "no JSON"),
        (200, b"\x1f\x8b\x08" + b"x" * 50, "no JSON"),
        (200, b"[]", "no JSON object"),
        (200, b"null", "no JSON object"),
        (404, b"not found", "no JSON"),
        (401, SECRET.encode(), "refuses access"),
        (403, SECRET.encode(), "refuses access"),
        (400, json.dumps({"status": "error", "errorType": "bad_data", "error": SECRET}).encode(), "bad_data"),
        (200, json.dumps({"status": "error", "errorType": SECRET}).encode(), "unknown error"),
        (200, json.dumps({"status": "error", "errorType": [SECRET]}).encode(), "unknown error"),
        (200, json.dumps({"status": [SECRET]}).encode(), "unknown error"),
        (200, json.dumps({"status": "success"}).encode(), "no instant vector"),
        (200, body([], "matrix"), "no instant vector"),
        (200, body([1, "1"], "scalar"), "no instant vector"),
        (200, body([1, SECRET], "string"), "no instant vector"),
        (200, body({"a": 1}), "no instant vector"),
        (200, body([], [SECRET]), "no instant vector"),
        (200, body([series(None)]), "no number"),
        (200, body([series(1.5)]), "no number"),
        (200, body([series("1.5.5")]), "no number"),
        (200, body([series("abc")]), "no number"),
        (200, body([series("1_000")]), "no number"),
        (200, body([series(" 1")]), "no number"),
        (200, body([series("٣")]), "no number"),
        (200, body([series("nan")]), "no number"),
        (200, body([{"metric": {}, "value": []}]), "no number"),
        (200, body([{"metric": {}, "value": [1.5, "1", "2"]}]), "no number"),
        (200, body([{"metric": {}, "value": {"0": 1, "1": "1"}}]), "no number"),
        (200, body([{"metric": {}, "value": "12"}]), "no number"),
        (200, body([{"metric": {}}]), "no number"),
        (200, body([series("1", "1.5")]), "no time"),
        (200, body([series("1", True)]), "no time"),
        (200, body([series("1", None)]), "no time"),
        (200, body([series("1")]).replace(b"1.5", b"1e999"), "no time"),
        (200, body([series("1", 10**400)]), "no time"),
        (200, body([series("1", pod=1)]), "no labels"),
        (200, body([{"metric": [], "value": [0, "1"]}]), "no labels"),
        (200, body([{"value": [0, "1"]}]), "no labels"),
        (200, body(["text"]), "no labels"),
        (200, body([None]), "no labels"),
        (200, body([[1, 2]]), "no labels"),
        (200, body([series("1", pod="a"), series("2", pod="a")]), "the same labels"),
        (302, b"", "redirects"),
        (307, SECRET.encode(), "redirects"),
        (503, SECRET.encode(), "503"),
    ],
)
def test_an_odd_answer_is_an_error_without_its_text(status: int, answer: bytes, told: str) -> None:
    with pytest.raises(PrometheusError, match=told) as error:
        read_answer(status, answer)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "kind", "passing"),
    [
        (429, None, True),
        (500, "internal", True),
        (501, None, False),
        (502, None, True),
        (503, "unavailable", True),
        (503, "timeout", False),  # the same query would time out again, and adds to the load
        (422, "execution", False),
        (400, "bad_data", False),
        (401, None, False),
        (302, None, False),
    ],
)
def test_an_error_that_may_pass_is_told_from_one_that_stays(status: int, kind: str | None, passing: bool) -> None:
    plain = b"" if kind is None else json.dumps({"status": "error", "errorType": kind, "error": SECRET}).encode()
    with pytest.raises(PrometheusError, match=kind or str(status) if status != 302 else "redirects") as error:
        read_answer(status, plain)
    assert error.value.passing is passing
    assert SECRET not in str(error.value)


def test_a_native_histogram_is_cumulated_with_its_gap() -> None:
    (sample,) = read_answer(200, body([{"metric": {"pod": "a"}, "histogram": [1.5, NATIVE]}])).samples
    assert math.isnan(sample.value)
    assert sample.histogram == NativeHistogram(
        6.0, 3.5, (NativeBucket(-0.001, 0.001, 1.0), NativeBucket(0.5, 1.0, 2.0), NativeBucket(1.0, 2.0, 3.0))
    )
    # the zero bucket starts at 0, for nothing lies below; from 0.001 to 0.5 nothing was seen
    below, at_zero, gap = (0.0, 0.0), (0.001, 1.0), (0.5, 1.0)
    assert sample.histogram.cumulated() == (below, at_zero, gap, (1.0, 3.0), (2.0, 6.0), (math.inf, 6.0))


def test_an_empty_native_histogram_has_no_buckets() -> None:
    empty = {"metric": {}, "histogram": [1.5, {"count": "0", "sum": "0"}]}
    (sample,) = read_answer(200, body([empty])).samples
    assert sample.histogram is not None
    assert sample.histogram.cumulated() == ((math.inf, 0.0),)


def test_a_native_histogram_of_custom_buckets_has_no_lower_bound() -> None:
    custom = NativeHistogram(3.0, 1.0, (NativeBucket(-math.inf, 0.5, 1.0), NativeBucket(0.5, math.inf, 2.0)))
    assert custom.cumulated() == ((0.0, 0.0), (0.5, 1.0), (math.inf, 3.0))
    below_zero = NativeHistogram(1.0, -1.0, (NativeBucket(-math.inf, -0.5, 1.0),))
    assert below_zero.cumulated() == ((-0.5, 1.0), (math.inf, 1.0))


def test_observations_of_nan_are_in_no_bucket_but_count() -> None:
    assert NativeHistogram(3.0, math.nan, (NativeBucket(1.0, 2.0, 2.0),)).cumulated()[-1] == (math.inf, 3.0)


@pytest.mark.parametrize(
    "histogram",
    [
        None,
        [],
        SECRET,
        {"count": "1"},
        {"count": 1, "sum": "1"},
        {"count": "1", "sum": "1", "buckets": None},
        {"count": "1", "sum": "1", "buckets": [[0, "1", "2"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "2", "1", "1"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "NaN", "1", "1"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "1", "2", "-1"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "1", "2", "NaN"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "1", "3", "1"], [0, "2", "4", "1"]]},
        {"count": "1", "sum": "1", "buckets": [[0, "1", "2", "1"], [0, "1", "2", "1"]]},
    ],
)
def test_an_odd_native_histogram_is_an_error(histogram: Any) -> None:
    with pytest.raises(PrometheusError, match="no number"):
        read_answer(200, body([{"metric": {}, "histogram": [1.5, histogram]}]))


def test_a_range_becomes_series() -> None:
    rows = [{"metric": {"pod": "a"}, "values": [[0, "1"], [60, "NaN"], [120.5, "3"]]}, {"metric": {}, "histograms": []}]
    found = read_range(200, body(rows, "matrix", warnings=["x"]))
    assert found.warnings == 1
    assert found.series[0].labels == {"pod": "a"}
    assert [at for at, _ in found.series[0].points] == [0.0, 60.0, 120.5]
    assert math.isnan(found.series[0].points[1][1])
    assert found.series[1] == Series({}, ())
    assert read_range(200, body([], "matrix")) == RangeAnswer()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (body([], "vector"), "no range of series"),
        (body([{"metric": {}, "values": None}], "matrix"), "no number"),
        (body([{"metric": {}, "values": "ab"}], "matrix"), "no number"),
        (body([{"metric": {}, "values": ["ab"]}], "matrix"), "no number"),
        (body([{"metric": {}, "values": [[1, "x"]]}], "matrix"), "no number"),
        (body([{"metric": {}, "values": [[1]]}], "matrix"), "no number"),
        (body([{"metric": {}, "values": [[2, "1"], [1, "1"]]}], "matrix"), "no time"),
        (body([{"metric": {}, "values": [[1, "1"], [1, "1"]]}], "matrix"), "no time"),
        (body([{"metric": {}, "values": []}] * 2, "matrix"), "the same labels"),
        (body([7], "matrix"), "no labels"),
    ],
)
def test_an_odd_range_is_an_error(answer: bytes, told: str) -> None:
    with pytest.raises(PrometheusError, match=told):
        read_range(200, answer)


WORDS = st.sampled_from(["1", "NaN", "+Inf", "abc", "", "pod", "1e999", "count", SECRET])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4))
HISTOGRAMS = st.fixed_dictionaries({"count": WORDS | JSON, "sum": WORDS, "buckets": st.lists(st.lists(WORDS | JSON))})
ENTRIES = st.fixed_dictionaries(
    {"metric": st.dictionaries(WORDS, WORDS | JSON, max_size=3)},
    optional={
        "value": st.tuples(st.floats() | JSON, WORDS | JSON) | JSON,
        "values": st.lists(st.tuples(st.integers(), WORDS) | JSON, max_size=4) | JSON,
        "histogram": st.tuples(st.floats(), HISTOGRAMS | JSON) | JSON,
    },
)
DATA = st.fixed_dictionaries(
    {
        "resultType": st.sampled_from(["vector", "matrix", "scalar", "string"]) | JSON,
        "result": st.lists(ENTRIES | JSON, max_size=4) | JSON,
    }
)
DOCUMENTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["success", "error"]) | JSON, "data": DATA | JSON},
    optional={"errorType": WORDS | JSON, "warnings": JSON, "error": WORDS},
)
STATUSES = st.sampled_from([200, 200, 200, 204, 302, 400, 401, 422, 429, 501, 503])


def _is_read_or_refused(status: int, answer: bytes) -> None:
    """Whatever else is raised, or said, fails the test."""
    for read in (read_answer, read_range):
        told = ""
        try:
            read(status, answer)
        except PrometheusError as error:
            told = str(error)
        assert SECRET not in told
        assert "\n" not in told


@given(STATUSES, DOCUMENTS | JSON)
def test_no_document_raises_anything_else(status: int, document: Any) -> None:
    _is_read_or_refused(status, json.dumps(document).encode())


@given(STATUSES, DOCUMENTS, st.integers(0, 400), st.binary(max_size=4))
def test_no_broken_document_raises_anything_else(status: int, document: Any, at: int, noise: bytes) -> None:
    whole = json.dumps(document).encode()
    _is_read_or_refused(status, whole[:at])
    _is_read_or_refused(status, whole[:at] + noise + whole[at:])


BOUNDS = st.lists(st.floats(-100, 100), min_size=2, max_size=8, unique=True).map(sorted)


@given(BOUNDS, st.data())
def test_cumulated_counts_never_fall_and_end_at_the_count(bounds: list[float], data: st.DataObject) -> None:
    pairs = list(pairwise(bounds))
    kept = [pair for pair in pairs if data.draw(st.booleans())]
    buckets = tuple(NativeBucket(*pair, data.draw(st.integers(0, 9))) for pair in kept)
    count = sum(bucket.count for bucket in buckets)
    points = NativeHistogram(count, 0.0, buckets).cumulated()
    assert [bound for bound, _ in points] == sorted({bound for bound, _ in points})
    assert [below for _, below in points] == sorted(below for _, below in points)
    assert points[-1] == (math.inf, count)
