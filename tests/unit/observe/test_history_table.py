"""The table of past hours: what is read next, what is forgotten, whose a row is."""

import numpy as np
from tests.support.hours import PastHour, range_answer

from inferplan.observe.history_queries import COLUMNS
from inferplan.observe.history_table import HourTable
from inferplan.observe.prometheus_types import RangeAnswer
from inferplan.observe.series_labels import SeriesLabels

NEWEST = 500_000
POD = "llama-7d9f5c8b6d-x2x9p"


def filled(hours: tuple[int, ...], size: int = 6) -> HourTable:
    """Hours in which POD ran one request for each hour's number back from the newest."""
    span = (NEWEST - size + 1, NEWEST)
    own = {NEWEST - ago: PastHour(running=float(ago)) for ago in hours}
    answer = range_answer([({"namespace": "serving", "pod": POD}, own)], COLUMNS, span)
    return HourTable(NEWEST, size).with_answers(span, [answer], complete=True)


def running(table: HourTable) -> list[float]:
    (row,) = table.rows["serving", "Pod", POD]
    return [float(value) for value in row.values[:, COLUMNS.index("running")]]


def test_the_newest_span_is_read_first() -> None:
    table = HourTable(NEWEST, 30)
    assert table.next_span(12) == (NEWEST - 11, NEWEST)
    table = table.with_answers((NEWEST - 11, NEWEST), [RangeAnswer()], complete=True)
    assert table.next_span(12) == (NEWEST - 23, NEWEST - 12)
    table = table.with_answers((NEWEST - 23, NEWEST - 12), [RangeAnswer()], complete=True)
    assert table.next_span(12) == (NEWEST - 29, NEWEST - 24)  # not beyond the table
    assert table.with_answers((NEWEST - 29, NEWEST - 24), (), complete=True).next_span(12) is None


def test_an_hour_later_only_that_hour_is_missing() -> None:
    assert filled((0,)).moved_to(NEWEST + 1).next_span(12) == (NEWEST + 1, NEWEST + 1)


def test_an_answer_with_gaps_is_read_again() -> None:
    table = HourTable(NEWEST, 3).with_answers((NEWEST, NEWEST), [RangeAnswer()], complete=False)
    assert table.next_span(12) == (NEWEST - 2, NEWEST)


def test_hours_move_back_and_fall_out() -> None:
    table = filled((0, 1, 5))
    np.testing.assert_equal(running(table), [5.0, np.nan, np.nan, np.nan, 1.0, 0.0])
    np.testing.assert_equal(running(table.moved_to(NEWEST + 2)), [np.nan, np.nan, 1.0, 0.0, np.nan, np.nan])
    np.testing.assert_equal(running(table.moved_to(NEWEST - 1)), [np.nan, 5.0, np.nan, np.nan, np.nan, 1.0])


def test_pods_with_no_hour_left_are_forgotten() -> None:
    assert filled((5,)).moved_to(NEWEST + 1).rows == {}
    assert filled((0,)).moved_to(NEWEST + 10_000_000).rows == {}


def test_a_table_does_not_change() -> None:
    table = filled((0,))
    later = range_answer(
        [({"namespace": "serving", "pod": POD}, {NEWEST: PastHour(running=9.0)})], COLUMNS, (0, NEWEST)
    )
    table.with_answers((NEWEST, NEWEST), [later], complete=True)
    assert running(table)[-1] == 0.0


def test_a_row_is_found_by_pod_and_by_workload() -> None:
    rows = filled((0,)).rows
    assert set(rows) == {("serving", "", ""), ("serving", "Pod", POD), ("serving", "Deployment", "llama")}


def test_a_source_without_pods_has_instances() -> None:
    own = [({"ns": "serving", "instance": "10.0.0.1:8000"}, {NEWEST: PastHour()})]
    answer = range_answer(own, COLUMNS, (NEWEST, NEWEST))
    table = HourTable(NEWEST, 6, SeriesLabels("ns", "pod_name")).with_answers((0, 0), [answer], complete=True)
    assert [row.name for row in table.rows["serving", "", ""]] == ["10.0.0.1:8000"]
