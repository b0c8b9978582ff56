"""The load by hour in the status: rounded, kept through noise, dropped when there is none."""

from dataclasses import replace
from typing import Any

import pytest

from inferplan.api.load_status import LoadStatus
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import History, HourlyWindow, LoadBand
from inferplan.reconcile.bands import load_status

BANDS = (LoadBand(9, 3, 12.3456, 2.34567, 512.0, 201.5), LoadBand(10, 2, 0.0, 0.0, None, None))
HISTORY = History(BANDS, tuple(HourlyWindow(3_600.0 * hour, same_pods=True) for hour in range(5)), 0.05123, "queries")


def stored(history: History = HISTORY) -> dict[str, Any]:
    found = load_status(history, None)
    assert found is not None
    return found.to_kube()


def with_band(**changes: Any) -> History:
    return replace(HISTORY, bands=(replace(BANDS[0], **changes), BANDS[1]))


def test_the_first_look_writes_it() -> None:
    assert stored() == {
        "hours": 5,
        "trendPercentPerDay": 5.1,
        "bands": [
            {
                "hour": 9,
                "numRequestsRunning": 12.3,
                "requestsPerSecond": 2.35,
                "promptTokensMean": 512.0,
                "generationTokensMean": 202.0,
            },
            {"hour": 10, "numRequestsRunning": 0.0, "requestsPerSecond": 0.0},
        ],
    }


@pytest.mark.parametrize(
    "history",
    [
        HISTORY,
        with_band(num_requests_running=14.0),  # 14 %
        replace(HISTORY, trend_per_day=0.09),
        replace(HISTORY, windows=HISTORY.windows[1:]),
        replace(HISTORY, bands=(BANDS[0], replace(BANDS[1], requests_per_second=0.004))),
    ],
)
def test_noise_is_no_write(history: History) -> None:
    found = load_status(history, stored())
    assert found is not None
    assert found.to_kube() == stored()


@pytest.mark.parametrize(
    "history",
    [
        with_band(num_requests_running=18.0),
        with_band(prompt_tokens_mean=None),
        replace(HISTORY, trend_per_day=0.2),
        replace(HISTORY, trend_per_day=None),
        replace(HISTORY, bands=BANDS[:1]),
        replace(HISTORY, bands=(BANDS[0], replace(BANDS[1], requests_per_second=0.5))),
    ],
)
def test_what_moved_is_written(history: History) -> None:
    found = load_status(history, stored())
    assert found is not None
    assert found.to_kube() == stored(history) != stored()


@pytest.mark.parametrize("code", [Reason.PROMETHEUS_ERROR, Reason.METRICS_STALE])
def test_while_the_source_cannot_be_read_what_is_stored_stays(code: Reason) -> None:
    missing = Missing(code, "it could not be asked")
    assert load_status(missing, stored()) == LoadStatus.from_kube(stored())


def test_without_past_hours_there_is_none() -> None:
    assert load_status(Missing(Reason.METRICS_MISSING, "none"), stored()) is None


@pytest.mark.parametrize("odd", [None, [], "text", {"hours": 0}, {"bands": "x"}, {"another": 1}])
def test_what_cannot_be_read_is_written_anew(odd: object) -> None:
    found = load_status(HISTORY, odd)
    assert found is not None
    assert found.to_kube() == stored()
